"""What a venue says of its feed before the first event: a TOML file, and what follows from it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from engine.book import LARGE, MEDIUM, SMALL, Capacity
from engine.contract import SCHEMA_VERSION
from engine.instruments import Instrument
from monitor.sources import Capability

_CAPACITIES = {"small": SMALL, "medium": MEDIUM, "large": LARGE}


class DescriptionError(ValueError):
    """A description that cannot be used: the file, the key, what to do."""

    exit_code = 2


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A feed, as its venue describes it.

    Attributes:
        contract: version of `engine.contract` that its events are of.
        instruments: symbol k of an event is the k-th.
        capabilities: what its events tell (`monitor.sources.Capability`); metrics that need more are missing.
        accounts: how many there are; events name them 0 … accounts - 1.
        lateness_ms: how far behind the newest an event's time may be, and it is still in time.
        books: "small" holds 2,048 orders a symbol, "medium" 32,768, "large" 262,144; aggregated books want "large".
    """

    contract: int
    instruments: Annotated[tuple[Instrument, ...], msgspec.Meta(min_length=1, max_length=4096)]
    capabilities: Annotated[tuple[Capability, ...], msgspec.Meta(min_length=1)]
    accounts: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    lateness_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 0
    books: Literal["small", "medium", "large"] = "medium"

    @property
    def capacity(self) -> Capacity:
        """The preset of every book."""
        return _CAPACITIES[self.books]


def load_description(path: Path) -> Description:
    """Reads a description. Raises DescriptionError."""
    try:
        found = msgspec.convert(tomllib.loads(path.read_text()), Description)
    except OSError as error:
        raise DescriptionError(f"{path}: cannot be read ({error.strerror}); docs/ingest.md has an example") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DescriptionError(f"{path}: this is no TOML ({error}); docs/ingest.md has an example") from error
    except (msgspec.ValidationError, ValueError) as error:
        raise DescriptionError(f"{path}: {error}; docs/ingest.md has an example") from error
    if found.contract != SCHEMA_VERSION:
        raise DescriptionError(f"{path}: contract {found.contract}, taken is {SCHEMA_VERSION}; see docs/ingest.md")
    symbols = [each.symbol for each in found.instruments]
    if len(set(symbols)) != len(symbols):
        raise DescriptionError(f"{path}: a symbol stands twice among the instruments; give each once")
    if "accounts" in found.capabilities and found.accounts == 0:
        raise DescriptionError(f"{path}: it tells accounts but accounts is 0; say how many there are")
    return found
