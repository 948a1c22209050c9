"""One state of the running system, as the board shows it: built from decoded stream entries, read as frames.

Pure bookkeeping: no Redis, no clock (the caller passes `now`, monotonic seconds). `dashboards.reader` fills it,
`dashboards.stream` sends what it yields. A frame is a snapshot (everything) or a delta (what changed since the last
frame); both carry the status, so that ages are never older than the frame.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from dashboards.freshness import ROLES, Status, doubt, tiles, worst_first
from dashboards.words import as_float, clean, clean_symbol, driver, expected, label, once_in, quantity, rarity, rate

RECENT_MS: Final = 600_000
"""The span of heatmap and price lines, and how long an event counts as recent, in event time."""

BUCKET_MS: Final = 5_000
"""Width of one heatmap cell in event time."""

EVENTS_KEPT: Final = 300
"""Most events held: the recent ones and the best of the run. A bound on the snapshot (about 1 KB each)."""

CONTRIBUTIONS_SHOWN: Final = 5
"""Contributions sent one by one; the rest goes as one sum, so that the bars still add up to the score."""

NEGLIGIBLE: Final = 0.005
"""Contributions below this part of the score are not worth a line of their own."""

STRENGTH_CAP: Final = 16.0
"""Heatmap strength of a false-alarm rate of 1e-16 or less."""

SERIES_POINTS: Final = 600
SERIES_IN_DELTA: Final = 20
"""Most points a symbol in one delta. A catching-up feed makes more: the delta then says so, and viewers fetch the lines."""

BOOK_LEVELS: Final = 10
VERDICTS_SHOWN: Final = 50

STATED_RATES: Final = (1e-2, 1e-3, 1e-4)
"""Stated false-alarm rates of which the board says how often they came."""
LINE_FAMILIES: Final = 5
"""Families that can speak of a symbol in a window, the market as a whole included."""
DAY_NS: Final = 86_400_000_000_000
MEMBERS_SHOWN: Final = 8
DRIFTS_SHOWN: Final = 3
STANDING: Final = ("members", "more_members", "alert", "event_far_text", "shared")
"""What a row shows of its event as it stands, beside its strongest line."""

SERIES: Final = ("index_usd", "mark_usd", "last_usd", "mid_usd")
"""Metrics of the price lines, in the order in which their points are sent after the time."""


def strength(false_alarm_rate: float) -> float:
    """−log10 of the rate, between 0 and `STRENGTH_CAP`."""
    if false_alarm_rate <= 0:
        return STRENGTH_CAP
    return round(min(STRENGTH_CAP, max(0.0, -math.log10(false_alarm_rate))), 2)


def order_key(row: Mapping[str, Any]) -> tuple[float, float, float, str, str]:
    """The order of anomalies everywhere: false-alarm rate ascending, then score descending, window, symbol, family."""
    return (row["far"], -row["score"], row["end_ms"], row["symbol"], row["family"])


class ReadModel:
    """The state behind one board. `epoch` names one unbroken history of it; a client that holds another starts anew."""

    def __init__(self, run_id: str, epoch: str) -> None:
        self.epoch = epoch
        self.seq = 0
        self.t_engine_ms: float | None = None
        """Wall-clock time (UTC ms) at which the newest window was closed by feed."""
        self.t_model_ms: float | None = None
        """Wall-clock time (UTC ms) at which rank was done with the newest window it ranked."""
        self.status = Status(run_id=clean(run_id))
        self.symbols: list[str] = []
        self.feed_window: int | None = None
        self._step_ms = 1_000.0
        self._advanced: dict[str, tuple[int, float | None]] = {}
        self._events: dict[str, dict[str, Any]] = {}
        self._heat: dict[int, dict[tuple[str, str], float]] = {}
        self._covered: set[int] = set()
        self._scored_to_ms: float | None = None
        self._series: dict[str, deque[list[float | None]]] = {}
        self._books: dict[str, dict[str, Any]] = {}
        self._verdicts: list[dict[str, Any]] = []
        self._tiles: list[dict[str, Any]] = tiles((), "no window has arrived yet")
        self._states: list[Mapping[str, Any]] = []
        self._faults: dict[str, int] = {}
        self._unreadable = 0
        self._first_ranked: int | None = None
        self._lines_below = dict.fromkeys(STATED_RATES, 0)
        self._alerts: dict[str, tuple[int, float]] = {}
        self._odds: dict[str, Any] = {}
        self._drifts: list[dict[str, Any]] = []
        self._delta: dict[str, Any] = {}

    # Intake -----------------------------------------------------------------------------------------------------------

    def metrics(
        self, rows: Sequence[Mapping[str, Any]], counters: Mapping[str, Any], closed_ms: float | None, now: float
    ) -> None:
        """One blob of metrics. `rows`, windows ascending: window_index, window_start_ns, window_end_ns, phase, symbol and
        the prices of `SERIES`; `counters`: feed's counts since the start of the run; `closed_ms`: when the last window
        closed, UTC ms."""
        for row in rows:
            symbol = clean_symbol(row["symbol"])
            if symbol not in self._series:
                self._series[symbol] = deque(maxlen=SERIES_POINTS)
                self.symbols.append(symbol)
                self._delta["symbols"] = self.symbols
            point: list[Any] = [row["window_end_ns"] / 1e6, *(as_float(row.get(name)) for name in SERIES)]
            self._series[symbol].append(point)
            self._delta.setdefault("series", {}).setdefault(symbol, []).append(point)
            bucket = math.ceil(point[0] / BUCKET_MS) - 1
            if bucket not in self._covered:
                self._covered.add(bucket)
                self._delta.setdefault("covered", []).append(bucket)
        if rows:
            last = rows[-1]
            self._step_ms = (last["window_end_ns"] - last["window_start_ns"]) / 1e6
            self.feed_window = last["window_index"]
            self.t_engine_ms = closed_ms
            self.status.mode = last["phase"]
            self.status.event_time_ms = last["window_end_ns"] / 1e6
            self._faults = {
                "late": counters.get("late", 0),
                "gaps": counters.get("gaps", 0),
                "rejected": sum(counters.get("rejects", {}).values()),
            }
            self._advance("feed", last["window_index"], now)
            self._forget_old_cells()

    def end(self) -> None:
        """Rank has passed the run's end on: nothing more will come."""
        self.status.ended = True

    def ranked(
        self,
        last_window: int,
        anomalies: Iterable[Mapping[str, Any]],
        events: Iterable[Mapping[str, Any]],
        drifts: Iterable[Mapping[str, Any]],
        done_ms: float | None,
        now: float,
    ) -> None:
        """Rank's final anomaly lines of one blob that ends at `last_window` (an index), and the events that they changed, as
        they stand; and what drifted. `done_ms`: wall clock."""
        self.t_model_ms = done_ms
        for line in anomalies:
            self._line(line)
        for event in events:
            self._event(event)
        for drift in drifts:
            at = {
                "at_ms": drift["window_end_ns"] / 1e6,
                "symbol": clean_symbol(drift["symbol"]),
                "text": clean(drift["says"], 160),
            }
            self._drifts = [*self._drifts[1 - DRIFTS_SHOWN :], at]
        self._count(last_window)
        self._advance("rank", last_window, now)
        self._scored_to_ms = last_window * self._step_ms
        self._delta["scored_to_ms"] = self._scored_to_ms
        self._drop_events()

    def unreadable(self) -> None:
        """An entry could not be read. It is left out, and the board says so."""
        self._unreadable += 1

    def verdicts(self, states: Sequence[Mapping[str, Any]]) -> None:
        """All of guard's present states."""
        self._states = list(states)
        shown = worst_first(self._states)[:VERDICTS_SHOWN]
        if shown != self._verdicts:
            self._verdicts = self._delta["verdicts"] = shown

    def books(self, books: Mapping[str, Mapping[str, Any]]) -> None:
        """The newest book of each symbol: `bids` and `asks`, each [price in quote units, lots], best first."""
        for name, book in books.items():
            symbol = clean_symbol(name)
            shown: dict[str, Any] = {side: [list(level[:2]) for level in book[side][:BOOK_LEVELS]] for side in ("bids", "asks")}
            shown["end_ms"] = (book.get("window_end_ns") or 0) / 1e6
            if self._books.get(symbol) != shown:
                self._books[symbol] = shown
                self._delta.setdefault("books", {})[symbol] = shown

    def health(self, roles: Mapping[str, Mapping[str, Any]], now: float) -> None:
        """What the roles say of themselves: `last_window` is believed, their clocks are not."""
        for role in ROLES:
            window = roles.get(role, {}).get("last_window")
            if isinstance(window, int):
                self._advance(role, window, now)

    def judge(self, now: float, store_down_since: float | None) -> None:
        """Bring ages, doubts and tiles up to `now`. Call before every frame."""
        status = self.status
        status.store_ok = store_down_since is None
        status.store_down_ms = None if store_down_since is None else (now - store_down_since) * 1e3
        faults = {**self._faults, "unreadable": self._unreadable}
        status.faults = {kind: count for kind, count in faults.items() if count}
        for role in ROLES:
            since = self._advanced.get(role, (0, None))[1]
            status.ages_ms[role] = None if since is None else round((now - since) * 1e3)
        guard = self._advanced.get("guard")
        behind = self.feed_window - guard[0] if guard and self.feed_window is not None else 0
        status.guard_lag_ms = max(0, behind) * self._step_ms
        shown = tiles(self._states, doubt(status))
        if shown != self._tiles:
            self._tiles = self._delta["tiles"] = shown

    # Frames -----------------------------------------------------------------------------------------------------------

    @property
    def changed(self) -> bool:
        return bool(self._delta)

    def take_delta(self) -> dict[str, Any]:
        """The next frame: everything that changed since the last one. Counts `seq` up."""
        self.seq += 1
        delta, self._delta = self._delta, {}
        if any(len(points) > SERIES_IN_DELTA for points in delta.get("series", {}).values()):
            delta["series"] = None
        if "rows" in delta:
            delta["rows"] = list(delta["rows"].values())
        return self._frame("delta", delta)

    def beat(self) -> dict[str, Any]:
        """A frame without content: status and ages, and the sequence number that a client should hold by now."""
        return self._frame("beat", {})

    def snapshot(self) -> dict[str, Any]:
        """Everything but the price series, as of the last frame taken."""
        cells = [[bucket, *key, value] for bucket, row in self._heat.items() for key, value in row.items()]
        return self._frame(
            "snapshot",
            {
                "symbols": self.symbols,
                "tiles": self._tiles,
                "verdicts": self._verdicts,
                "rows": list(self._events.values()),
                "heat": cells,
                "covered": sorted(self._covered),
                "scored_to_ms": self._scored_to_ms,
                "books": self._books,
                "odds": self._odds,
            },
        )

    def series(self, symbol: str) -> list[list[float | None]]:
        """Points [end_ms, index, mark, last, mid] of the last ten minutes; empty for an unknown symbol."""
        return list(self._series.get(symbol, ()))

    def _frame(self, kind: str, delta: dict[str, Any]) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "seq": self.seq,
            "kind": kind,
            "t_engine": self.t_engine_ms,
            "t_model": self.t_model_ms,
            "status": self.status,
            "delta": delta,
        }

    # Bookkeeping ------------------------------------------------------------------------------------------------------

    def _advance(self, role: str, window: int, now: float) -> None:
        """Note that `role` reached `window`. The first sight proves nothing about when that was: no age before a step."""
        seen = self._advanced.get(role)
        if seen is None:
            self._advanced[role] = (window, None)
        elif window > seen[0]:
            self._advanced[role] = (window, now)

    def _line(self, line: Mapping[str, Any]) -> None:
        symbol, family = clean_symbol(line["symbol"]), clean(line["family"], 16)
        start_ms, end_ms = line["window_start_ns"] / 1e6, line["window_end_ns"] / 1e6
        key = clean(line["event"])
        event = self._events.get(key)
        row = _row(key, symbol, family, line)
        if event is None:
            row.update(first_ms=start_ms, last_ms=end_ms, windows=1)
        else:
            best = row if order_key(row) < order_key(event) else event
            row = {
                **best,
                "first_ms": min(event["first_ms"], start_ms),
                "last_ms": max(event["last_ms"], end_ms),
                "windows": event["windows"] + 1,
                **{name: event[name] for name in STANDING if name in event},
            }
        self._events[key] = row
        rows = self._delta.setdefault("rows", {})
        rows[key] = row
        self._cell(end_ms, symbol, family, strength(line["false_alarm_rate"]))
        for stated in STATED_RATES:
            self._lines_below[stated] += line["false_alarm_rate"] <= stated

    def _event(self, event: Mapping[str, Any]) -> None:
        """What became of an event, to the row that shows it; its row comes with its first line."""
        row = self._events.get(clean(event["event"]))
        if row is None:
            return
        row = {**row, **_standing(event)}
        self._events[row["id"]] = row
        self._delta.setdefault("rows", {})[row["id"]] = row
        if event["alert"]:
            self._alerts[row["id"]] = math.ceil(event["last_ns"] / DAY_NS), event["alert_rate"]

    def _count(self, last_window: int) -> None:
        """Stated against realised: how many cells of the panel were as unusual as stated rates let expect."""
        self._first_ranked = last_window if self._first_ranked is None else self._first_ranked
        cells = (last_window - self._first_ranked + 1) * len(self.symbols) * LINE_FAMILIES
        day = math.ceil((self.status.event_time_ms or 0) * 1e6 / DAY_NS)
        self._alerts = {key: told for key, told in self._alerts.items() if told[0] >= day}
        odds = {
            "alerts": len(self._alerts),
            "drifts": self._drifts,
            "rates": [[stated, round(stated * cells, 1), self._lines_below[stated]] for stated in STATED_RATES],
        }
        if odds != self._odds:
            self._odds = self._delta["odds"] = odds

    def _cell(self, end_ms: float, symbol: str, family: str, value: float) -> None:
        bucket = math.ceil(end_ms / BUCKET_MS) - 1
        cells = self._heat.setdefault(bucket, {})
        if value > cells.get((symbol, family), 0.0):
            cells[symbol, family] = value
            self._delta.setdefault("heat", []).append([bucket, symbol, family, value])

    def _forget_old_cells(self) -> None:
        oldest = ((self.status.event_time_ms or 0) - RECENT_MS) / BUCKET_MS - 1
        for bucket in [bucket for bucket in self._heat if bucket < oldest]:
            del self._heat[bucket]
        self._covered = {bucket for bucket in self._covered if bucket >= oldest}

    def _drop_events(self) -> None:
        """Keep at most `EVENTS_KEPT`: the best of the run and the best of the recent ones, half and half at least."""
        if len(self._events) <= EVENTS_KEPT:
            return
        ordered = sorted(self._events.values(), key=order_key)
        recent_from = (self.status.event_time_ms or 0) - RECENT_MS
        keep = {row["id"] for row in ordered[: EVENTS_KEPT // 2]}
        recent = [row["id"] for row in ordered if row["id"] not in keep and row["last_ms"] >= recent_from]
        older = [row["id"] for row in ordered if row["id"] not in keep and row["last_ms"] < recent_from]
        keep.update((recent + older)[: EVENTS_KEPT - len(keep)])
        for key in [key for key in self._events if key not in keep]:
            del self._events[key]
            self._delta.setdefault("gone", []).append(key)
            self._delta.get("rows", {}).pop(key, None)


def _row(key: str, symbol: str, family: str, line: Mapping[str, Any]) -> dict[str, Any]:
    """One line as the board shows it. `contributions` holds the strongest, `rest` what the others add up to."""
    parts = sorted(line["contributions"], key=lambda part: -abs(part["contribution"]))
    strong = sum(abs(part["contribution"]) >= NEGLIGIBLE * abs(line["score"]) for part in parts)
    count = min(CONTRIBUTIONS_SHOWN, max(1, strong))
    shown, others = parts[:count], parts[count:]
    largest = max(line["contributions"], key=lambda part: part["contribution"], default=None)
    return {
        "id": key,
        "symbol": symbol,
        "family": family,
        "layer": line["layer"],
        "phase": clean(line["phase"], 16),
        "far": line["false_alarm_rate"],
        "far_text": rate(line["false_alarm_rate"]),
        "once_in": once_in(line["false_alarm_rate"]),
        "score": line["score"],
        "rarity_text": rarity(line["rarity"]),
        "start_ms": line["window_start_ns"] / 1e6,
        "end_ms": line["window_end_ns"] / 1e6,
        "window_ms": line["window_ms"],
        "driver": driver(largest) if largest else "",
        "contributions": [_part(part) for part in sorted(shown, key=lambda part: -part["contribution"])],
        "rest": {"count": len(others), "sum": math.fsum(part["contribution"] for part in others)},
        "accounts": _accounts(line),
        "expected": clean(line.get("expected") or "", 160),
        "second": _second(line.get("second_opinion")),
        "says": clean(line.get("says") or "", 400),
        "kind": clean(line.get("kind") or "", 24),
        "notes": [clean(note, 160) for note in line.get("notes") or ()][:4],
    }


def _second(rank: Any) -> str:
    """What half-space trees say of a line, beside what the detectors do."""
    share = as_float(rank)
    return "" if share is None else f"half-space trees: less usual than {100.0 * share:.1f}% of what they saw"


def _standing(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event as its row shows it: who spoke, in which order, and whether it is an alert."""
    members = [
        {
            "text": " ".join(part for part in (clean(one["family"], 16), clean(one["kind"], 24)) if part),
            "symbol": clean_symbol(one["symbol"]),
            "account": "" if one["account"] is None else clean(one["account"], 40),
            "after_s": round(one["lag_ms"] / 1e3, 1),
            "far_text": rate(one["false_alarm_rate"]),
        }
        for one in event["members"]
    ]
    alert = ""
    if event["alert"]:
        alert = f"alert {event['alert_number']} of the day" + (", over the budget" if event["over_budget"] else "")
    return {
        "members": members[:MEMBERS_SHOWN],
        "more_members": len(members) - len(members[:MEMBERS_SHOWN]) + event["unlisted_members"],
        "alert": alert,
        "event_far_text": rate(event["false_alarm_rate"]),
        "shared": "" if event["account"] is None else clean(event["account"], 40),
    }


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    unit = str(part.get("unit") or "")
    value, low, high = (as_float(part.get(name)) for name in ("value", "expected_low", "expected_high"))
    side = "above" if value is not None and high is not None and value > high else None
    if side is None and value is not None and low is not None and value < low:
        side = "below"
    return {
        "label": label(str(part["feature"]), unit),
        "value": quantity(value, unit),
        # The unit stands beside the value already.
        "expected": expected(low, high, unit).removesuffix(f" {clean(unit, 16)}"),
        "side": side,
        "contribution": part["contribution"],
    }


def _accounts(line: Mapping[str, Any]) -> list[dict[str, str]]:
    """The accounts behind a line: those that rank found evidence for, else the line's own."""
    found = []
    for item in line.get("accounts") or ():
        # A lower bound: only each window's largest account is known (`monitor.incidents.evidence`).
        text = f"at least {quantity(as_float(item['share']), 'share')} of {label(item['metric'])}"
        found.append({"account": clean(item["account"], 40), "text": text})
    own = line.get("account")
    if own is not None and clean(own, 40) not in {entry["account"] for entry in found}:
        found.insert(0, {"account": clean(own, 40), "text": ""})
    return found
