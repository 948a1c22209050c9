"""Every scenario: the same each time, recoverable at any tick, in its own metrics visible, and true to its label."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from engine.contract import EventKind
from engine.simulation import QUIET, Request, Simulation, SimulationConfig
from engine.simulation.scenarios import SCENARIOS
from models.anomaly import LAYERS
from monitor.drills.run import drills
from monitor.drills.timing import config_of
from monitor.metrics.catalogue import METRIC_NAMES, column

SECOND = 10**9
HISTORY_S = 240
SEED = 20
HARMFUL = [name for name, scenario in SCENARIOS.items() if not scenario.benign]
BENIGN = [name for name, scenario in SCENARIOS.items() if scenario.benign]


@pytest.fixture(scope="module")
def drilled():
    runs = {run.scenario: run for run in drills(tuple(SCENARIOS), SEED, history_s=HISTORY_S)}
    assert runs.keys() == {"", *SCENARIOS}
    return runs


def inside(run, label):
    return (run.window_end_ns > label.start_ns) & (run.window_end_ns <= label.end_ns + SECOND)


def effect(run, quiet, label, metric):
    """By how many standard deviations the metric's mean over the label differs from that of the same market without it.

    The deviation is that of means over as many windows in the quiet market: windows resemble those before them.
    """
    k, m = run.symbols.index(label.symbol), column(metric)
    found = inside(run, label)
    same = np.isin(quiet.window_end_ns, run.window_end_ns[found])
    ordinary = np.nan_to_num(quiet.values[30:, k, m])
    means = np.convolve(ordinary, np.full(found.sum(), 1 / found.sum()), "valid")
    difference = abs(np.nan_to_num(run.values[found, k, m]).mean() - np.nan_to_num(quiet.values[same, k, m]).mean())
    return difference / max(means.std(), 1e-9)


def test_there_are_the_scenarios_that_were_asked_for():
    assert len(HARMFUL) == 18
    assert len(BENIGN) == 7
    for name, scenario in SCENARIOS.items():
        assert scenario.family in LAYERS, name
        assert set(scenario.metrics) <= set(METRIC_NAMES), name
        assert scenario.says
        assert 0 < scenario.shortest_s <= scenario.longest_s


@pytest.mark.parametrize("name", HARMFUL)
def test_a_harmful_scenario_moves_the_metrics_that_its_label_names(drilled, name):
    run, quiet = drilled[name], drilled[""]
    label = run.labels[0]
    assert (label.name, label.family, label.benign) == (name, SCENARIOS[name].family, False)
    for metric in label.metrics:
        if not np.nansum(np.abs(quiet.values[:, :, column(metric)])):
            # Of what never happens in a quiet market, once is enough.
            assert np.nansum(run.values[inside(run, label), run.symbols.index(label.symbol), column(metric)]) > 0, metric
        else:
            assert effect(run, quiet, label, metric) > 3, metric


@pytest.mark.parametrize("name", BENIGN)
def test_a_benign_scenario_liquidates_nobody(drilled, name):
    run = drilled[name]
    assert all(label.benign for label in run.labels)
    live = run.values[run.history :]
    for metric in ("liquidations", "takeovers", "deleveraged_lots"):
        assert np.nansum(live[:, :, column(metric)]) == 0, metric


def test_the_effect_of_what_happened_elsewhere_is_none(drilled):
    """What the test above measures is small where nothing happened: it can fail."""
    quiet, run = drilled[""], drilled["stale-index"]
    label = run.labels[0]
    other = run.symbols[(run.symbols.index(label.symbol) + 1) % len(run.symbols)]
    for metric in ("cancels", "depth_bid_5_usd", "mid_index_bps", "leverage_new"):
        assert effect(run, quiet, msgspec.structs.replace(label, symbol=other), metric) < 3, metric


def test_a_cascade_goes_all_the_way(drilled):
    run = drilled["cascade"]
    live = run.values[run.history :]
    for metric in ("liquidations", "takeovers", "deleveraged_lots"):
        assert np.nansum(live[:, :, column(metric)]) > 0, metric


def play(simulation, venue, until_ns):
    """The ops and events up to a time."""
    ops, events = [], []
    while simulation.next_ns < until_ns:
        ops.append(simulation.step(venue).copy())
        events.append(venue.apply(ops[-1]))
        simulation.observe(events[-1])
    return b"".join(part.tobytes() for part in ops), np.concatenate(events)


@pytest.mark.parametrize(
    "name", [name if n % 3 == 0 else pytest.param(name, marks=pytest.mark.slow) for n, name in enumerate(SCENARIOS)]
)
def test_a_scenario_goes_on_from_a_snapshot_in_its_midst(name):
    config = config_of(name, seed=3, history_s=2)
    config = type(config)(**{f: getattr(config, f) for f in config.__struct_fields__} | {"accounts": 1000})
    simulation = Simulation(config)
    venue = simulation.new_venue()
    scenario = simulation._schedule.planned
    # At once: what comes before it is quiet.
    scenario.end_ns, scenario.start_ns = config.history_end_ns + scenario.end_ns - scenario.start_ns, config.history_end_ns
    middle = (scenario.start_ns + scenario.end_ns) // 2
    play(simulation, venue, middle)
    assert [label.name for label in simulation.labels] == [name] * len(scenario.symbols())
    again = Simulation(config)
    other = again.new_venue()
    again.restore(simulation.snapshot())
    other.restore(venue.snapshot())
    end = min(scenario.end_ns, middle + 8 * SECOND) + SECOND
    first, second = play(simulation, venue, end), play(again, other, end)
    assert first[0] == second[0]
    assert first[1].tobytes() == second[1].tobytes()
    assert again.labels == simulation.labels
    assert other.state_hash() == venue.state_hash()


def test_a_drill_in_a_copied_market_is_the_one_of_its_configuration():
    planned = Simulation(config_of("layering", 7, history_s=2))
    quiet = Simulation(config_of(QUIET, 7, history_s=2))
    quiet.drill("layering", 1.0)
    assert quiet._schedule.planned == planned._schedule.planned


def test_a_request_comes_first_and_the_demos_sequence_goes_on_behind_it():
    simulation = Simulation(SimulationConfig(seed=2, start_ns=0, history_s=1, accounts=1000))
    venue = simulation.new_venue()
    first = simulation._schedule.planned
    simulation.ask(Request("stale-index", 1.0, at_ns=SECOND, symbol=2))
    play(simulation, venue, 2 * SECOND)
    assert [(label.name, label.symbol) for label in simulation.labels] == [("stale-index", "SOL-PERP")]
    play(simulation, venue, simulation.labels[0].end_ns + SECOND)
    assert simulation._schedule.planned is not None
    assert simulation._schedule.planned.name == first.name
    with pytest.raises(KeyError):
        simulation.ask(Request("no such thing", 1.0, at_ns=SECOND))


def test_stops_wait_and_are_forgotten_when_they_fire():
    simulation = Simulation(config_of("clustered-stops", 4, history_s=60))
    venue = simulation.new_venue()
    _, events = play(simulation, venue, simulation.planned_end_ns)
    assert (events["kind"] == EventKind.ARM).sum() > 100
    ended = events[(events["kind"] == EventKind.TRIGGER)]
    assert not np.isin(ended["order_id"], np.abs(simulation._scene.stops)).any()
