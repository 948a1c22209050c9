"""The compiled windows against their naive twin, and against themselves under every way of cutting the stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.metrics.accounts import COLUMNS, SPAN, AccountRows
from monitor.metrics.actors import MEASURES, TOP
from monitor.metrics.catalogue import CATALOGUE, METRIC_NAMES
from monitor.sources import ALL_CAPABILITIES
from tests.oracle.event_streams import START_NS, level_stream, order_stream
from tests.oracle.naive_metrics import ORDER_FLOW, NaiveMetrics
from tests.windows_kit import ACCOUNTS, INSTRUMENTS, L2, SECOND, new_engine

seeds = st.integers(0, 2**32 - 1)
lateness = st.sampled_from([0, 50_000_000, 1_500_000_000])


def run(engine, events, cuts=()):
    """All windows of the stream cut at `cuts`: index, values, who did most (accounts, amounts, whole), and rows of accounts."""
    blocks = [engine.push(part) for part in np.split(events, sorted(cuts))] + [engine.finish()]
    return joined(blocks)


def joined(blocks):
    blocks = [block for block in blocks if block is not None]
    if not blocks:
        return None
    arrays = ((b.window_index, b.values, *b.actors, *b.accounts) for b in blocks)
    return [np.concatenate(parts) for parts in zip(*arrays, strict=True)]


def as_bytes(result):
    return None if result is None else [array.tobytes() for array in result]


def compare_with_naive(events, capabilities, lateness_ns, step_ns=SECOND):
    naive = NaiveMetrics(INSTRUMENTS, capabilities, ACCOUNTS, step_ns, lateness_ns)
    for event in events:
        naive.push(event)
    naive.finish()
    engine = new_engine(capabilities, lateness_ns, step_ns)
    index, values, *rest = run(engine, events)
    top, rows = rest[:3], AccountRows(*rest[3:])
    assert index.tolist() == [window for window, _, _ in naive.rows]
    expected = np.array([[[row[name] for name in METRIC_NAMES] for row in rows] for _, rows, _ in naive.rows])
    # Medians of lifetimes are within half a bin; all else differs by the order of float sums alone.
    rtol = np.where(np.array(METRIC_NAMES) == "lifetime_p50_ms", 1 / 128, 1e-9)
    near = np.abs(values - expected) <= 1e-7 + rtol * np.abs(expected)
    wrong = ~(near | (np.isnan(values) & np.isnan(expected)))
    found = [(int(index[w]), s, METRIC_NAMES[m], values[w, s, m], expected[w, s, m]) for w, s, m in np.argwhere(wrong)]
    assert not found, found[:10]
    if "accounts" in capabilities:
        dids = [did for _, _, did in naive.rows]
        compare_actors(dids, *top)
        compare_rows(index.tolist(), dids, rows)
    else:
        assert (top[0] == -1).all()
        assert not top[1].any()
        assert np.isnan(top[2]).all()
        assert len(rows.window) == 0
    counters = engine.counters()
    assert (counters["late"], counters["skipped_windows"], counters["wrong_times"]) == (naive.late, naive.skipped, naive.wrong)


def compare_actors(expected, accounts, amounts, whole):
    for w, s, q in np.ndindex(whole.shape):
        measure = list(MEASURES)[q]
        did = expected[w][s][measure]
        where = (w, s, measure, did)
        if measure != "position_lots":  # open interest, which is a metric, is its whole
            assert whole[w, s, q] == pytest.approx(sum(did.values()), rel=1e-9, abs=1e-7), where
        most = sorted(did.items(), key=lambda item: (-item[1], item[0]))[:TOP]
        assert amounts[w, s, q, : len(most)].tolist() == pytest.approx([x for _, x in most], rel=1e-9, abs=1e-7), where
        assert (accounts[w, s, q, len(most) :] == -1).all(), where
        named = accounts[w, s, q, : len(most)].tolist()
        if measure in ("exposure_usd", "withdrawn_usd"):  # floats: what is equal but for rounding may change places
            assert [did[a] for a in named] == pytest.approx([x for _, x in most], rel=1e-9, abs=1e-7), where
        else:
            assert named == [a for a, _ in most], where


def compare_rows(index, dids, rows):
    """What accounts did by span, for the columns that are also measures."""
    span, spans = {}, []
    for w, did in zip(index, dids, strict=True):
        if (w - 1) // SPAN != span.get("at"):
            span = {"at": (w - 1) // SPAN}
        for measure, who in (item for symbol in did for item in symbol.items()):
            for account, amount in who.items():
                span[account, measure] = span.get((account, measure), 0) + amount
        if w % SPAN == 0:
            spans.append((w, span))
    expected = {}
    for w, did in spans:
        for account in range(ACCOUNTS):
            values = [did.get((account, name), 0) for name in COLUMNS]
            if any(values[list(COLUMNS).index(name)] > 0 for name in ("cancels", "rejects", "exposure_usd")):
                expected[w, account] = values
    found = {(w, a): values for w, a, values in zip(rows.window.tolist(), rows.account.tolist(), rows.values, strict=True)}
    assert set(expected) <= set(found)
    assert list(found) == sorted(found)
    compared = [list(COLUMNS).index(name) for name in ("cancels", "slow_fleeting_cancels", "rejects", "exposure_usd")]
    for key, values in expected.items():
        assert found[key][compared].tolist() == pytest.approx([values[c] for c in compared], rel=1e-9, abs=1e-7), key


@settings(max_examples=25, deadline=None)
@given(seeds, lateness)
def test_orders_equal_the_naive_metrics(seed, lateness_ns):
    compare_with_naive(order_stream(seed, lateness_ns=lateness_ns), ALL_CAPABILITIES, lateness_ns)


@settings(max_examples=40, deadline=None)
@given(seeds, lateness)
def test_levels_equal_the_naive_metrics(seed, lateness_ns):
    compare_with_naive(level_stream(seed, lateness_ns=lateness_ns), L2, lateness_ns)


@settings(max_examples=10, deadline=None)
@given(seeds, st.sampled_from([100_000_000, 10_000_000_000]))
def test_any_window_length_equals_the_naive_metrics(seed, step_ns):
    compare_with_naive(order_stream(seed), ALL_CAPABILITIES, 0, step_ns)


@settings(max_examples=40, deadline=None)
@given(seeds, lateness, st.booleans(), st.lists(st.integers(0, 250), max_size=12))
def test_rows_do_not_depend_on_how_batches_are_cut(seed, lateness_ns, orders, cuts):
    stream, capabilities = (order_stream, ALL_CAPABILITIES) if orders else (level_stream, L2)
    events = stream(seed, lateness_ns=lateness_ns)
    before = events.tobytes()
    whole = new_engine(capabilities, lateness_ns)
    parts = new_engine(capabilities, lateness_ns)
    assert as_bytes(run(whole, events)) == as_bytes(run(parts, events, cuts))
    assert whole.counters() == parts.counters()
    assert events.tobytes() == before


@settings(max_examples=20, deadline=None)
@given(seeds, lateness, st.booleans(), st.integers(0, 250))
def test_a_restored_engine_goes_on_as_if_nothing_had_happened(seed, lateness_ns, orders, cut):
    stream, capabilities = (order_stream, ALL_CAPABILITIES) if orders else (level_stream, L2)
    events = stream(seed, lateness_ns=lateness_ns)
    first, second = new_engine(capabilities, lateness_ns), new_engine(capabilities, lateness_ns)
    block = first.push(events[:cut])
    snapshot = first.snapshot()
    second.push(events[100:200])
    second.restore(snapshot)
    rest = joined([block, second.push(events[cut:]), second.finish()])
    whole = new_engine(capabilities, lateness_ns)
    assert as_bytes(rest) == as_bytes(run(whole, events))
    assert second.counters() == whole.counters()


@settings(max_examples=20, deadline=None)
@given(seeds, lateness)
def test_every_event_of_the_flow_counts_exactly_once(seed, lateness_ns):
    events = order_stream(seed, lateness_ns=lateness_ns)
    events["flags"] = 0
    events = events[np.isin(events["kind"], ORDER_FLOW)]  # now everything with a symbol is either in its window or late
    engine = new_engine(ALL_CAPABILITIES, lateness_ns)
    _, values, *_ = run(engine, events)
    counted = values[:, :, METRIC_NAMES.index("messages")].sum() + values[:, :, METRIC_NAMES.index("late")].sum()
    assert counted == (events["symbol"] < len(INSTRUMENTS)).sum()
    assert engine.counters()["events"] == len(events)


@pytest.mark.parametrize("orders", [True, False])
def test_every_metric_is_given_by_a_source_that_can(orders):
    capabilities = ALL_CAPABILITIES if orders else L2
    events = order_stream(3, n=16_000, mean_ns=10_000_000) if orders else level_stream(3, n=16_000, mean_ns=10_000_000)
    # A calm clock: some metrics want minutes of trading behind them.
    events["ts_ns"] = START_NS + np.arange(len(events)) * 10_000_000
    _, values, *_ = run(new_engine(capabilities, 0), events)
    given_ = set(np.array(METRIC_NAMES)[np.isfinite(values).any(axis=(0, 1))])
    assert given_ == {metric.name for metric in CATALOGUE if metric.told_by(capabilities)}
    assert not np.isinf(values).any()
