"""Event-time windows: from order events to one row of metrics a window and symbol.

    engine = WindowEngine(source.instruments, source.capabilities, source.capacity, source.accounts,
                          step_ns=1_000_000_000, lateness_ns=source.lateness_ns)
    for batch in source.batches():
        block = engine.push(batch)      # the windows this batch closed, or None
    block = engine.finish()             # the rest

Window k covers the times (k-1) · step ≤ t < k · step, so k = window_end_ns // step. It closes when the watermark reaches its
end (`monitor.metrics.watermark`), for all symbols together; the first window is that of the first event. Windows follow each
other without a hole, except where event time moves on by more than an hour at once: those between are left out and counted.

The rows are a function of the sequence of events: the same bytes whatever the batches. `monitor.metrics.catalogue` says what
each metric is; one whose need the source cannot meet is NaN in every row.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from engine.arrays import pack_arrays, unpack_arrays
from engine.book import BookStatus, Capacity, new_books
from engine.contract import EVENT_DTYPE
from engine.instruments import Instrument
from monitor.metrics import cancels, depth, forced, kernel, leverage
from monitor.metrics.accounts import LEFT_OUT, WRITTEN, AccountRows, new_rows, new_span
from monitor.metrics.accounts import joined as joined_rows
from monitor.metrics.actors import Actors, new_account_flow, new_actors
from monitor.metrics.catalogue import CATALOGUE, METRIC_NAMES
from monitor.metrics.watermark import LONGEST_STEP_NS, Released, Watermark

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

LONGEST_STEPS: Final = 100
"""Windows that one event alone may move event time on, where that is more than an hour."""

_HARMLESS: Final = (BookStatus.OK, BookStatus.NO_EFFECT)


@dataclass(frozen=True)
class Boards:
    """The best levels of every book at one moment: `count` [S, 2 sides], `price` ticks and `lots` [S, 2, levels]."""

    window_end_ns: int
    count: IntArray
    price: IntArray
    lots: IntArray


@dataclass(frozen=True)
class Block:
    """W ≥ 1 closed windows of `step_ns`, S symbols, M metrics in the order of METRIC_NAMES."""

    step_ns: int
    window_index: IntArray
    """[W], rising; with holes only where windows were left out."""
    window_end_ns: IntArray
    """[W], window_index · step."""
    values: FloatArray
    """[W, S, M], NaN where a metric is missing: always the same NaN, so equal rows are equal bytes."""
    actors: Actors
    """Who did most in each window and symbol."""
    accounts: AccountRows
    """What each account did in the spans that end in these windows."""
    boards: Boards | None
    """The books as the last window closed, None in a part that was cut off before it."""

    def cut(self, start: int, stop: int) -> Block:
        """Windows `start` … `stop - 1` of this block, as views."""
        part = slice(start, stop)
        return replace(
            self,
            window_index=self.window_index[part],
            window_end_ns=self.window_end_ns[part],
            values=self.values[part],
            actors=self.actors.at(part),
            accounts=self.accounts.of_windows(int(self.window_index[start]), int(self.window_index[stop - 1])),
            boards=self.boards if stop >= len(self.window_index) else None,
        )

    def books(self, instruments: tuple[Instrument, ...]) -> Iterator[tuple[str, bytes]]:
        """(symbol, JSON) of every book: `window_end_ns`, and `bids` and `asks` as [price in quote units, lots], best first."""
        if self.boards is None:
            return
        for s, instrument in enumerate(instruments):
            decimals = max(0, -_exponent(instrument.tick_size))
            sides = []
            for side in range(2):
                n = int(self.boards.count[s, side])
                prices = np.round(self.boards.price[s, side, :n] * instrument.tick, decimals).tolist()
                sides.append(list(zip(prices, self.boards.lots[s, side, :n].tolist(), strict=True)))
            book = {"window_end_ns": self.boards.window_end_ns, "bids": sides[0], "asks": sides[1]}
            yield instrument.symbol, msgspec.json.encode(book)


class _Header(msgspec.Struct, frozen=True):
    """What a snapshot holds beside the arrays: the watermark."""

    newest_ns: int
    wrong_times: int
    waiting: bytes
    waiting_times: bytes


class WindowEngine:
    """Rebuilds every symbol's book and the accounts' positions from events, and measures them window by window.

    Raises ValueError for a step that is not a positive multiple of ten nanoseconds (ten samples a window).
    """

    def __init__(
        self,
        instruments: tuple[Instrument, ...],
        capabilities: Collection[str],
        capacity: Capacity,
        accounts: int,
        step_ns: int,
        lateness_ns: int,
    ) -> None:
        if step_ns <= 0 or step_ns % depth.SAMPLES:
            raise ValueError(f"step_ns is {step_ns}, it must be a positive multiple of {depth.SAMPLES}")
        self._instruments = instruments
        configuration = repr((instruments, sorted(capabilities), capacity, accounts, step_ns, lateness_ns, METRIC_NAMES))
        self._configuration = hashlib.sha256(configuration.encode()).hexdigest()
        self._step_ns = step_ns
        self._watermark = Watermark(lateness_ns, max(LONGEST_STEP_NS, LONGEST_STEPS * step_ns))
        self._missing = np.array([not metric.told_by(capabilities) for metric in CATALOGUE])
        n = len(instruments)
        known_accounts = accounts if "accounts" in capabilities else 0
        self._settings = np.zeros(1, kernel.SETTINGS_DTYPE)
        self._settings["step_ns"] = step_ns
        self._settings["decay"] = 0.5 ** (step_ns / depth.HALF_LIFE_NS)
        self._settings["orders"] = "orders" in capabilities
        self._settings["deep"] = "deep_book" in capabilities
        self._settings["accounts"] = "accounts" in capabilities
        self._settings["book"] = "book" in capabilities
        self._clock = np.zeros(1, kernel.CLOCK_DTYPE)
        self._symbols = kernel.new_symbols(n)
        for state, instrument in zip(self._symbols, instruments, strict=True):
            state["tick_usd"] = instrument.tick
            state["value_usd"] = instrument.notional_micro / 1e6
            state["notional_micro"] = instrument.notional_micro
        self._books = new_books(capacity, n)
        self._account_flow = new_account_flow(n, known_accounts)
        self._active = np.zeros((n, known_accounts), np.int64)
        self._prints = cancels.new_prints(n, levels="orders" not in capabilities)
        self._positions = np.zeros((n, known_accounts), np.int64)
        self._holders = np.zeros((n, known_accounts), leverage.HOLDER_DTYPE)
        self._opening = np.zeros((n, known_accounts), np.int64)
        self._cash_micro = np.zeros(known_accounts, np.int64)
        self._levels = np.zeros(known_accounts, np.int64)
        self._money = np.zeros(known_accounts, forced.MONEY_DTYPE)
        self._scratch = np.zeros(known_accounts, np.int64)
        self._span = new_span(known_accounts)
        self._statuses = np.zeros(kernel.STATUSES, np.int64)

    def push(self, events: np.ndarray) -> Block | None:
        """Takes the next batch, EVENT_DTYPE in order of arrival. Returns the windows it closed, if any.

        The batch is not changed and not kept.
        """
        if events.dtype != EVENT_DTYPE:
            raise ValueError(f"windows are made of EVENT_DTYPE, not {events.dtype}")
        released = self._watermark.push(events)
        return self._run(released, self._watermark.passed_ns // self._step_ns)

    def finish(self) -> Block | None:
        """No more will come: closes the windows up to the newest time, and the open one if anything happened in it."""
        released = self._watermark.finish()
        first = self._run(released, max(self._watermark.newest_ns // self._step_ns, 0))
        if not self._clock[0]["window_events"]:
            return first
        nothing = Released(released.events[:0], released.times[:0], released.jumps)
        rest = self._run(nothing, int(self._clock[0]["window"]))
        return rest if first is None or rest is None else _joined(first, rest)

    def counters(self) -> dict[str, int]:
        """What happened since the start of the run, as counts.

        `events`; `late`; `skipped_windows` left out in gaps of event time; `wrong_times` not believed; events of an
        `unknown_symbol` or `unknown_account`, `bad_trade`s; `accounts_left_out` of the rows of busy spans; and
        `book_<status>` for each `BookStatus` that means trouble.
        """
        clock = self._clock[0]
        counts = {
            "events": int(clock["events"]),
            "late": int(clock["late"]),
            "skipped_windows": int(clock["skipped_windows"]),
            "wrong_times": self._watermark.wrong_times,
            "unknown_symbol": int(clock["unknown_symbols"]),
            "unknown_account": int(clock["unknown_accounts"]),
            "bad_trade": int(clock["bad_trades"]),
            "accounts_left_out": int(self._span.tally[LEFT_OUT]),
        }
        for status in BookStatus:
            if status not in _HARMLESS:
                counts[f"book_{status.name.lower()}"] = int(self._statuses[status])
        return counts

    def snapshot(self) -> bytes:
        """Everything that later rows depend on."""
        header = _Header(
            self._watermark.newest_ns,
            self._watermark.wrong_times,
            self._watermark.waiting.tobytes(),
            self._watermark.waiting_times.tobytes(),
        )
        return pack_arrays(self._arrays(), msgspec.msgpack.encode(header))

    def restore(self, snapshot: bytes) -> None:
        """Goes to the state of a snapshot. Raises ValueError if it is of another configuration, or none."""
        try:
            header = msgspec.msgpack.decode(unpack_arrays(snapshot, self._arrays()), type=_Header)
        except (ValueError, zlib.error) as error:
            raise ValueError(f"this is no snapshot of these windows, but of another source or version: {error}") from error
        self._watermark.newest_ns = header.newest_ns
        self._watermark.wrong_times = header.wrong_times
        self._watermark.waiting = np.frombuffer(header.waiting, EVENT_DTYPE).copy()
        self._watermark.waiting_times = np.frombuffer(header.waiting_times, np.int64).copy()

    def _arrays(self) -> dict[str, np.ndarray]:
        # The configuration is part of a name, so that the state of another one is refused before anything is overwritten.
        return {
            f"settings {self._configuration}": self._settings,
            "clock": self._clock,
            "symbols": self._symbols,
            "books": self._books,
            "account_flow": self._account_flow,
            "active": self._active,
            "prints": self._prints,
            "positions": self._positions,
            "holders": self._holders,
            "opening": self._opening,
            "cash_micro": self._cash_micro,
            "levels": self._levels,
            "money": self._money,
            "statuses": self._statuses,
            "span": self._span.totals,
            "busy": self._span.busy,
            "span_count": self._span.tally,
        }

    def _run(self, released: Released, until: int) -> Block | None:
        windows = kernel.count_windows(released.times, released.jumps, until, self._settings, self._clock)
        n = len(self._instruments)
        index = np.zeros(windows, np.int64)
        values = np.full((windows, n, len(METRIC_NAMES)), np.nan)
        top = new_actors(windows, n)
        rows = new_rows(windows, len(self._cash_micro)) if windows else new_rows(0, 0)
        self._span.tally[WRITTEN] = 0
        kernel.run(
            *released,
            until,
            self._settings,
            self._clock,
            self._symbols,
            self._books,
            self._account_flow,
            self._active,
            self._prints,
            self._positions,
            self._holders,
            self._opening,
            self._cash_micro,
            self._levels,
            self._money,
            self._scratch,
            self._statuses,
            index,
            values,
            top,
            self._span,
            rows,
        )
        if windows == 0:
            return None
        if not self._settings[0]["accounts"]:
            top.whole[:] = np.nan
        values[:, :, self._missing] = np.nan
        values[np.isnan(values)] = np.nan  # an undefined operation's NaN may have its sign bit set
        boards = Boards(
            int(index[-1]) * self._step_ns,
            self._symbols["board_count"].copy(),
            self._symbols["board_price"].copy(),
            self._symbols["board_lots"].copy(),
        )
        return Block(
            self._step_ns, index, index * self._step_ns, values, top, rows.part(0, int(self._span.tally[WRITTEN])), boards
        )


def _joined(first: Block, rest: Block) -> Block:
    """Two blocks that follow each other as one."""
    return replace(
        rest,
        window_index=np.concatenate([first.window_index, rest.window_index]),
        window_end_ns=np.concatenate([first.window_end_ns, rest.window_end_ns]),
        values=np.concatenate([first.values, rest.values]),
        actors=first.actors.then(rest.actors),
        accounts=joined_rows([first.accounts, rest.accounts]),
    )


def _exponent(decimal: str) -> int:
    """The power of ten of a decimal string's last digit, at most 0: -2 for "0.05"."""
    return -len(decimal.partition(".")[2])
