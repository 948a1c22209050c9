"""The desk that takes a venue's batches, whichever way they come: checks, keeps, acknowledges; and says when nobody sends.

While the venue is silent, the desk adds a CLOCK each second, so that windows close and ages grow. Its time is that of the
machine plus the difference to the venue's clock, as the last batches showed it; it never runs ahead of that.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from statistics import median
from typing import Final

import numpy as np

from engine.contract import EVENT_DTYPE, NO_ACCOUNT, EventKind
from monitor.ingest.batch import BatchError, admit, decode
from monitor.ingest.description import Description
from monitor.ingest.store import ADDED, EventWriter

_SECOND_NS: Final = 1_000_000_000
_BATCHES: Final = 64


class Desk:
    """Takes batches for one feed. Safe to call from several threads."""

    def __init__(self, writer: EventWriter, description: Description) -> None:
        self._writer = writer
        self._description = description
        self._lock = threading.Lock()
        self._differences: deque[int] = deque(maxlen=_BATCHES)
        self._newest_ns = 0
        self._heard = time.monotonic()
        self.refused: Counter[str] = Counter()
        """Batches that were not taken, by the kind of reason."""
        self.repeated = 0
        """Events that came again and were left out."""

    @property
    def next_seq(self) -> int:
        """The number that the venue's next batch should begin with."""
        return self._writer.next_sent

    @property
    def ended(self) -> bool:
        """Whether the venue said that no more will come."""
        return self._writer.ended

    def take(self, body: bytes, *, is_json: bool) -> int:
        """Keeps the events of a batch; returns how many were new. They are kept when this returns.

        Raises:
            BatchError: it is wrong; nothing of it is kept.
            OSError: the disk is full; nothing of it is kept.
        """
        try:
            events = decode(body, is_json=is_json)
            with self._lock:
                if self._writer.ended:
                    raise BatchError("the feed has ended; begin another run", "feed has ended")
                new = admit(events, self._writer.next_sent, self._description)
                if len(new):
                    self._writer.append(new, len(new))
                    self._newest_ns = max(self._newest_ns, int(new["ts_ns"].max()))
                    self._differences.append(int(new["ts_ns"].max()) - time.time_ns())
                self._heard = time.monotonic()
                self.repeated += len(events) - len(new)
                return len(new)
        except BatchError as error:
            self.refused[error.reason] += 1
            raise

    def end(self) -> None:
        """No more will come."""
        with self._lock:
            self._writer.end()

    def tick(self) -> None:
        """To be called about each second: says that time passes if nobody else does. Raises OSError."""
        with self._lock:
            if self._writer.ended or not self._differences or time.monotonic() - self._heard < 1.0:
                return
            now_ns = time.time_ns() + round(median(self._differences))
            if now_ns // _SECOND_NS <= self._newest_ns // _SECOND_NS:
                return
            event = np.zeros(1, EVENT_DTYPE)
            event["ts_ns"], event["kind"], event["code"] = now_ns, EventKind.CLOCK, ADDED
            event["symbol"], event["account"], event["contra_account"] = -1, NO_ACCOUNT, NO_ACCOUNT
            self._writer.append(event, 0)
            self._newest_ns = now_ns
