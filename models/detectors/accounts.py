"""Accounts that do what is unusual for them: rows of accounts in, the few most unusual of a span out.

An account has few rows, so only its level is its own; how far a row may lie from it is read from all accounts of its class
(`models.pooled`): steady ones, which act in most spans (makers, bots), occasional ones, and new ones, which have no level yet
and are judged by what is usual for all new ones. `StreamDetector`, which gives each entity a scale of its own, was tried first:
in 25 quiet minutes of the simulated market it stated a rate below 0.001 for 157 accounts' rows.

Only spans in which an account did something have a row, so what is judged is how it acts, not that it acts; ratios are
shrunk, so that one cancel against no fill is nothing. Only more than usual counts.

A row's false-alarm rate is pooled over accounts. A span holds hundreds of rows, so that some row is unusual in any of them: the
rate of a line is the row's times the number of rows looked at, which is the chance at most that any of them looks so by
accident.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.anomaly import LAYERS, Anomaly, Contribution
from models.detectors.tail import Tail
from models.pooled import Judged, judge, new_pooled
from models.ranking import sort_key

STATED: Final = 0.01
"""Lines above this rate are none."""
MOST_LINES: Final = 3
"""Lines of a span and family: who is behind an event in one span is seldom more, and a panel of accounts must not drown it."""
NEW_ROWS: Final = 8
"""Rows that an account needs before it has a past."""
NEW_NOTE: Final = "New account: judged by what is usual for all."
NEW, OCCASIONAL, STEADY = range(3)
MOST_ACCOUNTS: Final = 8_192
"""Accounts remembered; those not seen for longest make room. A snapshot holds them all: five megabytes."""
DELAY_SPANS: Final = 30
"""Spans before a score counts as usual: as long as the symbols' detectors wait (`models.detectors.tail`), in spans of ten."""
STEADY_FROM, OCCASIONAL_FROM = 0.6, 0.4
"""Share of the last spans in which an account acted from which it is steady, and below which it is occasional again."""
MEMORY: Final = 0.95
"""What a span leaves of that share's memory: the last twenty spans count."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Scale(IntEnum):
    """The scale of a feature of columns a and b with an offset k."""

    COUNT = 0
    """2·√(a + 3/8): a count's spread is 1 whatever its mean."""
    RATIO = 1
    """log((a + k)/(b + k)): shrunk."""
    LOG = 2
    """log(a + k)"""
    PART = 3
    """log(a/b + k) of a b of at least 1 and a ratio of at most `LARGEST`"""


class Feature(msgspec.Struct, frozen=True):
    """One feature of a row: its scale, the unit and the words in which people read it, and the columns `above` and `below` of
    its formula, of which `below` may be what a third column leaves of it."""

    name: str
    scale: Scale
    unit: str
    words: str
    metrics: tuple[str, ...]
    """The metrics of a window that it is an account's part of."""
    above: str
    below: str = ""
    less: str = ""
    offset: float = 0.0


class AccountFamily(msgspec.Struct, frozen=True):
    """What is looked at of the accounts that did something of `acts`; `place` is the column of their symbol."""

    name: str
    acts: tuple[str, ...]
    features: tuple[Feature, ...]
    place: int
    steady: bool
    """Whether those that act in most spans are a class of their own: makers cancel as others do not, but who adds to a position
    often is no other kind of holder for it."""


SHRINK: Final = 4.0
LARGEST: Final = 125.0**2
"""Leverage counts up to 125, and what is added of it is weighted by it."""

NEVER: Final = -(2**62)
FLOOR: Final = 0.5
"""Least spread of a feature on its scale: half a standard deviation of a count, or a factor of 1.6."""

FAMILIES: Final = (
    AccountFamily(
        "cancels",
        ("cancels", "rejects"),
        (
            Feature("account_cancels", Scale.COUNT, "count", "cancels", ("cancels",), "cancels"),
            Feature("account_adds", Scale.COUNT, "count", "orders placed", ("adds",), "adds"),
            Feature("account_rejects", Scale.COUNT, "count", "refusals", ("rejects", "throttled"), "rejects"),
            Feature("account_cancels_after_fill", Scale.COUNT, "count", "cancels right after a fill on the other side",
                    ("cancels_after_fill",), "cancels_after_fill"),
            Feature("account_fleeting_to_other", Scale.RATIO, "ratio", "fleeting cancels to others",
                    ("fleeting_cancels", "slow_fleeting_cancels"), "slow_fleeting_cancels", "cancels",
                    "slow_fleeting_cancels", SHRINK),
            Feature("account_cancels_to_fills", Scale.RATIO, "ratio", "cancels to fills", ("cancels", "order_to_trade_ratio"),
                    "cancels", "fills", "", SHRINK),
        ),
        0,
        True,
    ),
    AccountFamily(
        "leverage",
        ("exposure_usd",),
        (
            Feature("account_leverage", Scale.LOG, "x", "leverage", ("leverage_weighted", "leverage_p90"), "leverage",
                    offset=0.5),
            Feature("account_leverage_added", Scale.PART, "x²", "leverage-weighted exposure added to equity",
                    ("leverage_new", "leverage_weighted", "open_interest_usd", "withdrawals_usd"), "exposure_usd", "equity_usd",
                    offset=0.1),
        ),
        1,
        False,
    ),
)  # fmt: skip


class AccountPanel:
    """The account detectors of a run. Score, then learn; the same rows give the same bits however they are cut into blocks,
    and a pickle carries on where it was made.

    `columns` names the columns of the rows; a row covers `span` windows of `step_ns`.
    """

    def __init__(self, symbols: tuple[str, ...], columns: tuple[str, ...], step_ns: int, span: int) -> None:
        self.symbols = tuple(symbols)
        self._columns = tuple(columns)
        self._step_ns = step_ns
        self._span = span
        self._detectors = [_Detector(family, self._columns) for family in FAMILIES]

    def process(self, window: Ints, account: Ints, symbol: Ints, values: Floats) -> list[Anomaly]:
        """The lines of some spans' rows, in the order of spans, within one the likeliest first.

        `window` int64 [R], never falling, the index of the window that ends a row's span; `account` int64 [R], once a span;
        `symbol` int64 [R, 2], where the account cancelled most and where it added most exposure, -1 for nowhere; `values`
        float64 [R, C]. Raises ValueError for other shapes.
        """
        if values.shape != (len(window), len(self._columns)) or symbol.shape != (len(window), 2):
            raise ValueError(f"values have shape {values.shape}, expected {(len(window), len(self._columns))} (rows, columns)")
        found: list[Anomaly] = []
        cuts = np.flatnonzero(np.diff(window)) + 1
        for rows in np.split(np.arange(len(window)), cuts):
            if len(rows) == 0:
                continue
            end = int(window[rows[0]])
            lines = [
                line
                for detector in self._detectors
                for line in self._lines(detector, end, account[rows], symbol[rows], values[rows])
            ]
            found += sorted(lines, key=sort_key)
        return found

    def _lines(self, detector: _Detector, end: int, account: Ints, symbol: Ints, values: Floats) -> list[Anomaly]:
        family = detector.family
        place = symbol[:, family.place]
        acted = np.flatnonzero((values[:, detector.acts].sum(axis=1) > 0.0) & (place >= 0))
        if len(acted) == 0:
            return []
        x, judged, rate, rarity, new = detector.process(end // self._span, account[acted], values[acted])
        rates = np.minimum(np.nan_to_num(rate, nan=1.0) * len(acted), 1.0)
        order = np.lexsort((account[acted], -judged.score, rates))[:MOST_LINES]
        told = [int(i) for i in order if rates[i] <= STATED]
        return [
            Anomaly(
                window_start_ns=(end - self._span) * self._step_ns,
                window_end_ns=end * self._step_ns,
                window_ms=self._span * self._step_ns // 1_000_000,
                symbol=self.symbols[int(place[acted[i]])],
                account=int(account[acted[i]]),
                family=family.name,
                layer=LAYERS[family.name],
                event="",
                score=float(judged.score[i]),
                rarity=float(rarity[i]),
                false_alarm_rate=float(rates[i]),
                contributions=_contributions(family, x[i], judged.low[i], judged.high[i], judged.contributions[i]),
                notes=(NEW_NOTE,) if new[i] else (),
            )
            for i in told
        ]


class _Detector:
    """One family's detector over all accounts."""

    def __init__(self, family: AccountFamily, columns: tuple[str, ...]) -> None:
        self.family = family
        self.acts = [columns.index(name) for name in family.acts]
        self._columns = {name: c for c, name in enumerate(columns)}
        self._floor = np.full(len(family.features), FLOOR)
        self._state = new_pooled(MOST_ACCOUNTS, 3, len(family.features))
        self._tail = Tail(MOST_ACCOUNTS, 1, DELAY_SPANS)
        self._slots: dict[int, int] = {}
        self._free = list(range(MOST_ACCOUNTS - 1, -1, -1))
        self._last = np.full(MOST_ACCOUNTS, NEVER, np.int64)
        self._share = np.zeros(MOST_ACCOUNTS)
        self._steady = np.zeros(MOST_ACCOUNTS, np.bool_)

    def process(self, t: int, account: Ints, values: Floats) -> tuple[Floats, Judged, Floats, Floats, NDArray[np.bool_]]:
        """(features, what was judged, rate, rarity, whether new) of the rows of span `t`, which are then learnt."""
        x = np.column_stack([_scaled(feature, values, self._columns) for feature in self.family.features])
        slots = self._admit(t, account)
        gone = np.minimum(t - self._last[slots], 1000)
        share = self._share[slots] * MEMORY**gone + (1.0 - MEMORY)
        steady = self.family.steady & (share >= np.where(self._steady[slots], OCCASIONAL_FROM, STEADY_FROM))
        new = self._state.rows[slots] < NEW_ROWS
        self._last[slots], self._share[slots], self._steady[slots] = t, share, steady
        judged = judge(x, slots, np.where(new, NEW, np.where(steady, STEADY, OCCASIONAL)), self._floor, self._state)
        scores = np.full((1, MOST_ACCOUNTS), np.nan)
        # The tail's pieces are exponential in the logarithm of what they get: here in the root of the score, a length in
        # spreads, for residuals made Gaussian have no power-law tail.
        scores[0, slots] = np.exp(2.0 * np.sqrt(judged.score))
        rate, rarity = self._tail.process(scores)
        return x, judged, rate[0, slots], rarity[0, slots], new

    def _admit(self, t: int, account: Ints) -> Ints:
        """The accounts' slots; new ones get a free one, or that of an account not seen for longest."""
        wanted = account.tolist()
        fresh = [one for one in wanted if one not in self._slots]
        short = len(fresh) - len(self._free)
        if short > 0:
            last = self._last.copy()
            last[[self._slots[one] for one in wanted if one in self._slots]] = t
            last[self._free] = t
            # Some at a time, or every newcomer would pay for a sort.
            leaving = set(np.argsort(last, kind="stable")[: max(short, len(last) // 16)].tolist()) - set(self._free)
            self._slots = {one: slot for one, slot in self._slots.items() if slot not in leaving}
            self._free += sorted(leaving, reverse=True)
        for one in fresh:
            slot = self._slots[one] = self._free.pop()
            self._state.rows[slot], self._state.mean[slot] = 0, 0.0
            self._last[slot], self._share[slot], self._steady[slot] = t, 0.0, False
        return np.array([self._slots[one] for one in wanted], np.int64)


def _scaled(feature: Feature, values: Floats, columns: dict[str, int]) -> Floats:
    a: Floats = values[:, columns[feature.above]]
    if feature.scale == Scale.COUNT:
        return 2.0 * np.sqrt(a + 0.375)
    if feature.scale == Scale.LOG:
        return np.log(a + feature.offset)
    b: Floats = values[:, columns[feature.below]]
    if feature.scale == Scale.PART:
        return np.log(np.minimum(a / np.maximum(b, 1.0), LARGEST) + feature.offset)
    if feature.less:
        b = b - values[:, columns[feature.less]]
    return np.log((a + feature.offset) / (b + feature.offset))


def _read(feature: Feature, y: float) -> float | None:
    """The value behind a scaled one, in the feature's unit."""
    if not np.isfinite(y):
        return None
    if feature.scale == Scale.COUNT:
        return float(max((0.5 * max(y, 0.0)) ** 2 - 0.375, 0.0))
    return float(max(np.exp(y) - (0.0 if feature.scale == Scale.RATIO else feature.offset), 0.0))


def _contributions(family: AccountFamily, x: Floats, low: Floats, high: Floats, parts: Floats) -> tuple[Contribution, ...]:
    found = []
    for f, feature in enumerate(family.features):
        value, least, most = (_read(feature, float(y)) for y in (x[f], low[f], high[f]))
        says = "" if value is None or most is None else f"{feature.words} {value:.4g}, usual is up to {most:.4g}"
        found.append(Contribution(feature.name, value, least, most, feature.unit, float(parts[f]), says))
    return tuple(sorted(found, key=lambda one: -one.contribution))
