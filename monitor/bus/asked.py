"""What people ask a run for: drills. From the board over a Redis list to feed (`monitor.roles.drills`)."""

from __future__ import annotations

from typing import Annotated

import msgspec


class Drill(msgspec.Struct, frozen=True):
    """A scenario that a run can be asked for."""

    name: str
    says: str
    benign: bool


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request. `id` tells two of them apart; `symbol` is a market's name, "" for any."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8,32}$")]
    name: Annotated[str, msgspec.Meta(max_length=64)]
    strength: Annotated[float, msgspec.Meta(ge=0.1, le=10.0)] = 1.0
    symbol: Annotated[str, msgspec.Meta(max_length=32)] = ""
