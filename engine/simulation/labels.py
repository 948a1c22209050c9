"""The truth about what a simulated market was made to do: what detectors are held against."""

from __future__ import annotations

import msgspec


class Label(msgspec.Struct, frozen=True):
    """What one scenario did to one market.

    Attributes:
        family: "cancels", "depth", "leverage", "prices" or "market": which detectors should rank it first.
        symbol: the market.
        accounts: who did it.
        start_ns: time of its first op, UTC nanoseconds.
        end_ns: time after its last op.
        name: the scenario's.
        metrics: names of the window metrics that it moves.
        benign: whether it is ordinary business, which should raise no alarm.
        drill: whether somebody asked for it, which is to be said wherever it shows.
    """

    family: str
    symbol: str
    accounts: tuple[int, ...]
    start_ns: int
    end_ns: int
    name: str
    metrics: tuple[str, ...] = ()
    benign: bool = False
    drill: bool = False
