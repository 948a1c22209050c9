"""Event time: in which order, and at what time, events are applied, and when a window may close.

**Watermark.** The newest event time seen, less the source's lateness. Events wait until the watermark has passed their own
time and are then let go in order of time, arrival order among equals. An event that arrives behind the watermark is let go at
once, at the watermark's time: time never runs backwards for what is computed from the stream.

**Jumps.** An event more than `LONGEST_STEP_NS` ahead of the newest is held until the next one arrives: if that is as far
ahead, time has really moved on; if not, the one event's clock was wrong. It is then given the newest time there was, and
counted. So a single bad time cannot put the watermark into a future in which everything else is late. The first event of all
is held likewise, and given the second one's time if that is more than `LONGEST_STEP_NS` behind. What time really jumped over
is reported: a night, or an outage, must not fill the stream with empty windows.

Order and times depend on the sequence of events alone, not on how it is cut into batches.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from engine.contract import EVENT_DTYPE

LONGEST_STEP_NS: Final = 3_600_000_000_000
"""The most that one event alone may move event time on: an hour, or a hundred windows where that is more."""

LATEST_NS: Final = 2**62
"""Times outside 0 … LATEST_NS (the year 2116) are taken as the nearer end, so that no difference of times overflows."""

NOT_STARTED: Final = -1
"""The newest time before any event's was believed."""

_UNDECIDED: Final = np.iinfo(np.int64).max


class Released(NamedTuple):
    """Events let go.

    `events` EVENT_DTYPE [E]; `times` int64 [E], rising, at which to apply them; `jumps` int64 [J, 2]: nothing happened between
    the first time and the second, which lies behind the watermark by now.
    """

    events: np.ndarray
    times: np.ndarray
    jumps: np.ndarray


class Watermark:
    """Puts events that arrive up to `lateness_ns` late back into the order of their times.

    `newest_ns` is the newest time believed so far or NOT_STARTED, `wrong_times` how many were not believed. `waiting`
    (EVENT_DTYPE) and `waiting_times` (int64) are the events not let go yet; together the four are its state.
    """

    def __init__(self, lateness_ns: int, longest_step_ns: int = LONGEST_STEP_NS) -> None:
        if lateness_ns < 0:
            raise ValueError(f"lateness_ns is {lateness_ns}, it must not be negative")
        self.lateness_ns = lateness_ns
        self._longest_step_ns = longest_step_ns
        self.newest_ns = NOT_STARTED
        self.wrong_times = 0
        self.waiting = np.zeros(0, EVENT_DTYPE)
        self.waiting_times = np.zeros(0, np.int64)

    @property
    def passed_ns(self) -> int:
        """The watermark: no event that is still to come will be given a time before it. Negative at the start."""
        return self.newest_ns - self.lateness_ns if self.newest_ns != NOT_STARTED else NOT_STARTED

    def push(self, events: np.ndarray) -> Released:
        """Takes a batch (EVENT_DTYPE) in order of arrival; lets go what the watermark has passed."""
        waited = len(self.waiting)
        joined = np.concatenate([self.waiting, events]) if waited else events
        times = np.full(len(joined), _UNDECIDED, np.int64)
        times[:waited] = self.waiting_times
        ts_ns = joined["ts_ns"].copy()
        jumps = np.empty((len(events), 2), np.int64)
        newest_ns, wrong, jumped = _decide(ts_ns, times, waited, self.newest_ns, self.lateness_ns, self._longest_step_ns, jumps)
        self.newest_ns = int(newest_ns)
        if wrong:
            self.wrong_times += wrong
            joined = joined.copy()
            joined["ts_ns"] = ts_ns
        if np.any(times[1:] < times[:-1]):
            order = np.argsort(times, kind="stable")
            joined, times = joined[order], times[order]
        ready = int(np.searchsorted(times, self.passed_ns, side="right")) if self.newest_ns != NOT_STARTED else 0
        # What waits is copied: the batch belongs to the source, which may use its memory again.
        self.waiting, self.waiting_times = joined[ready:].copy(), times[ready:].copy()
        return Released(joined[:ready], times[:ready], jumps[:jumped])

    def finish(self) -> Released:
        """No more will arrive: returns the events still waiting, as `push` does."""
        if len(self.waiting) and self.waiting_times[-1] == _UNDECIDED:
            if self.newest_ns == NOT_STARTED:
                self.newest_ns = min(max(int(self.waiting["ts_ns"][-1]), 0), LATEST_NS)
            else:
                self.waiting["ts_ns"][-1] = self.newest_ns
                self.wrong_times += 1
            self.waiting_times[-1] = self.newest_ns
        events, times = self.waiting, self.waiting_times
        self.waiting, self.waiting_times = events[:0].copy(), times[:0].copy()
        return Released(events, times, np.empty((0, 2), np.int64))


@njit(cache=True, nogil=True)
def _decide(
    ts_ns: Any, times: Any, waited: int, newest_ns: int, lateness_ns: int, longest_ns: int, jumps: Any
) -> tuple[int, int, int]:
    """Fills `times` from index `waited` on, and decides on the event held before.

    A wrong time is replaced in `ts_ns`. The last of `times` stays undecided if its event is to be held. Returns (newest time,
    how many times were wrong, how many `jumps` were written).
    """
    wrong = 0
    jumped = 0
    held = waited - 1 if waited > 0 and times[waited - 1] == _UNDECIDED else -1
    for i in range(waited, len(ts_ns)):
        ts = min(max(ts_ns[i], 0), LATEST_NS)
        if held >= 0:
            claimed = min(max(ts_ns[held], 0), LATEST_NS)
            first = newest_ns == NOT_STARTED
            if (claimed - ts <= longest_ns) if first else (ts - newest_ns > longest_ns):
                if not first and claimed - lateness_ns > newest_ns:
                    jumps[jumped, 0] = newest_ns
                    jumps[jumped, 1] = claimed - lateness_ns
                    jumped += 1
                newest_ns = claimed
            else:
                newest_ns = ts if first else newest_ns
                ts_ns[held] = newest_ns
                wrong += 1
            times[held] = newest_ns
            held = -1
        if newest_ns == NOT_STARTED or ts - newest_ns > longest_ns:
            held = i
        else:
            newest_ns = max(newest_ns, ts)
            times[i] = max(ts, newest_ns - lateness_ns)
    return newest_ns, wrong, jumped
