"""Where order events come from: the venue, recorded files, live feeds. Each yields contract batches and nothing else.

What a source is stands here; `monitor.sources.detect.open_source` makes one from files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from engine.book import Capacity
    from engine.instruments import Instrument

Capability = Literal[
    "book",
    "deep_book",
    "orders",
    "accounts",
    "ops",
    "trades",
    "last",
    "mark",
    "index",
    "funding",
    "open_interest",
    "liquidations",
    "arrival",
]
"""What a source can tell. A metric whose `needs` is not among a source's capabilities is missing, never zero.

book           the best levels of both sides
deep_book      levels far enough from the touch for a depth within 10 bps of mid
orders         single orders with ids, so that lifetimes and counts are those of orders and not of levels
accounts       whose orders they are: dense integers 0 … accounts - 1
ops            what was asked and refused too, not only what happened
trades         fills with the aggressor's side
last           a last price, where fills are not told
mark, index, funding, open_interest    those reference values
liquidations   which trades are of forced orders
arrival        when messages came in, by a clock beside the venue's
"""

ALL_CAPABILITIES: Final[frozenset[Capability]] = frozenset(get_args(Capability))
VENUE_CAPABILITIES: Final = ALL_CAPABILITIES - {"arrival"}
"""What a venue tells of itself: no message takes any time to it."""


class SourceError(Exception):
    """An input that cannot be read, or not trusted any further. The command line exits with `exit_code`.

    `what` was wrong, `where` (file and line, as far as known), and what to `do` about it: each one a plain sentence or
    phrase without a final full stop.
    """

    exit_code: Final = 2

    def __init__(self, what: str, where: str = "", do: str = "") -> None:
        super().__init__(what, where, do)
        self.what = what
        self.where = where
        self.do = do

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f". {self.do}" if self.do else ""
        return f"{place}{self.what}{advice}"


class Label(Protocol):
    """A stretch of time of which the source knows the truth. The simulation's labels have this shape."""

    @property
    def family(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def accounts(self) -> Sequence[int]: ...
    @property
    def start_ns(self) -> int: ...
    @property
    def end_ns(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def drill(self) -> bool: ...


class Source(Protocol):
    """One input, ready to be read once.

    Properties may be read before, while and after the batches are drawn; `rejects` and `notes` are complete afterwards.
    """

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """The instrument of `symbol` k of an event is `instruments[k]`."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the events can tell."""

    @property
    def capacity(self) -> Capacity:
        """A preset that holds every book this source can describe."""

    @property
    def accounts(self) -> int:
        """How many accounts there are, 0 if the source does not know accounts."""

    @property
    def lateness_ns(self) -> int:
        """How far behind the newest event time an event may arrive and still be in time."""

    @property
    def step_ns(self) -> int:
        """The length of a window that fits this source: a second for events, the step of a series."""

    @property
    def rejects(self) -> Counter[str]:
        """Inputs read but not passed on, counted by reason."""

    @property
    def notes(self) -> Sequence[str]:
        """What somebody who reads the results must know about this input, one plain sentence each."""

    @property
    def total_hint(self) -> int | None:
        """How many inputs (lines, ops) there are, where that is known before the end."""

    @property
    def progress(self) -> float:
        """Fraction of the input read so far, 0 … 1."""

    def batches(self) -> Iterator[np.ndarray]:
        """The events as arrays of `EVENT_DTYPE`, in the order of arrival. Can be drawn once.

        Raises:
            SourceError: the input is torn, malformed or not readable from here on. Batches yielded before it are good.
        """

    def labels(self) -> Sequence[Label]:
        """The truth about stretches of this input, where it is known; otherwise empty."""


@runtime_checkable
class Resumable(Protocol):
    """A source that can go on from where it was, so that what comes back after a crash need not read all of it again."""

    def save(self, beside: bytes) -> None:
        """Keeps the present state between two batches, and `beside`, whole or not at all."""

    def load(self) -> bytes | None:
        """Goes to the newest saved state, before any batch is drawn; returns what was saved beside it, None without one."""
