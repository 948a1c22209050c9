"""The configuration of one run: what the command line decides and every role is handed.

The supervisor writes it as JSON into the run's state directory (mode 0600: it holds the server's password and the key
that signs snapshots) and hands each role the file's path. Unknown keys are refused, so that a misspelt setting is an
error and not a default.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from monitor.incidents.planned import Planned

STEP_NS: Final = 1_000_000_000
"""Length of a window. Longer ones are built from these, never recomputed from events."""

ALERT_BUDGET: Final = 2.0
"""False alerts a day that are accepted for each symbol, where nothing else is configured."""

Format = Literal["auto", "lobster", "binance-futures", "frames", "orders", "series", "events", "journal"]

LiveVenue = Literal[
    "binance-futures",
    "binance-spot",
    "bybit",
    "okx",
    "deribit",
    "bitmex",
    "kraken-futures",
    "coinbase",
    "dydx",
    "hyperliquid",
    "lighter",
]

SPEED_PATTERN: Final = r"^(max|[0-9]+(\.[0-9]+)?x)$"
_SYMBOL: Final = r"^[A-Za-z0-9._:/-]{1,32}$"
_RUN_ID: Final = r"^[A-Za-z0-9_.-]{1,64}$"


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the file or the key."""


class VenueSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="venue"):
    """The built-in venue as the source: history at full speed first, then live."""

    seed: Annotated[int, msgspec.Meta(ge=0, description="Seed of the simulation; the same seed gives the same bytes.")]
    start_ns: Annotated[
        int,
        msgspec.Meta(
            ge=0, multiple_of=1_000_000_000, description="Event time at which the simulation starts: UTC ns, a whole second."
        ),
    ]
    history_seconds: Annotated[
        int, msgspec.Meta(ge=0, description="Event seconds simulated at full speed before the live part, marked HISTORY.")
    ]
    duration_seconds: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(description="Event seconds of the live part; null runs until it is stopped."),
    ] = None
    journal_dir: Annotated[
        str | None, msgspec.Meta(description="Folder that keeps the journal of all ops, for replay; null keeps none.")
    ] = None
    scenario: Annotated[
        str, msgspec.Meta(description="Scenario that follows the history as a drill; empty for the demo's incidents.")
    ] = ""
    strength: Annotated[float, msgspec.Meta(ge=0.1, le=10.0, description="Factor on what the scenario draws.")] = 1.0

    @property
    def live_from_ns(self) -> int:
        """Windows that start at or after this event time are live."""
        return self.start_ns + self.history_seconds * 1_000_000_000

    @property
    def end_ns(self) -> int | None:
        """Event time at which the run ends, if it does."""
        return None if self.duration_seconds is None else self.live_from_ns + self.duration_seconds * 1_000_000_000


class FilesSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="files"):
    """Recorded files as the source."""

    paths: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, description="The recordings, one run over all of them.")]
    format: Annotated[Format, msgspec.Meta(description="Format of the recordings; `auto` recognises it by content.")] = "auto"


class LiveSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="live"):
    """A venue's public streams as the source."""

    venue: Annotated[LiveVenue, msgspec.Meta(description="Whose streams.")]
    symbols: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=_SYMBOL)], ...],
        msgspec.Meta(min_length=1, max_length=1024, description="Instruments, each as the venue writes it."),
    ]
    duration_seconds: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(description="Seconds to record; null records until the run is stopped."),
    ] = None
    record_dir: Annotated[
        str | None, msgspec.Meta(description="Folder in which the frames are kept; null keeps them only while they are needed.")
    ] = None
    url: Annotated[
        Annotated[str, msgspec.Meta(pattern="^wss?://")] | None,
        msgspec.Meta(description="Scheme and host to use instead of the venue's: a proxy, a testnet, a test."),
    ] = None
    rest_url: Annotated[
        Annotated[str, msgspec.Meta(pattern="^https?://")] | None,
        msgspec.Meta(description="The same of the venue's REST interface."),
    ] = None


class IngestSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="ingest"):
    """What a venue sends itself as the source."""

    description: Annotated[str, msgspec.Meta(description="The TOML file that describes the feed (docs/ingest.md).")]
    host: Annotated[str, msgspec.Meta(min_length=1, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535, description="Port to listen on.")] = 8060
    stream: Annotated[
        Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None,
        msgspec.Meta(description="Key of a Redis stream to read batches from as well."),
    ] = None
    stream_url: Annotated[str | None, msgspec.Meta(description="The server that stream is on.")] = None
    record_dir: Annotated[
        str | None, msgspec.Meta(description="Folder in which the events are kept; null keeps them only while they are needed.")
    ] = None

    @property
    def duration_seconds(self) -> None:
        """A venue says itself when its feed ends."""
        return None


Spec = VenueSpec | FilesSpec | LiveSpec | IngestSpec


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run. Every field is documented by its description, which a test demands."""

    run_id: Annotated[
        str, msgspec.Meta(pattern=_RUN_ID, description="Names the run in every Redis key, so that runs can share a server.")
    ]
    source: Annotated[Spec, msgspec.Meta(description="Where the order events come from.")]
    state_dir: Annotated[
        str, msgspec.Meta(min_length=1, description="Folder of the run's own files: this one, snapshots, journal, logs, spool.")
    ]
    speed: Annotated[
        str,
        msgspec.Meta(
            pattern=SPEED_PATTERN,
            description="Event seconds per second of the clock: `max`, or a number and `x`. Venue history is always at max.",
        ),
    ] = "max"
    out_dir: Annotated[str | None, msgspec.Meta(description="Folder that gets the run's results; null exports nothing.")] = None
    board_port: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=65535)] | None,
        msgspec.Meta(description="Port of the board on 127.0.0.1; null starts none."),
    ] = None
    redis_url: Annotated[
        str | None,
        msgspec.Meta(description="Server to use; null starts an own one. The supervisor fills it in before roles read it."),
    ] = None
    alert_budget: Annotated[
        float,
        msgspec.Meta(gt=0.0, le=1000.0, description="False alerts a day that are accepted for each symbol (`--alert-budget`)."),
    ] = ALERT_BUDGET
    variant: Annotated[str, msgspec.Meta(min_length=1, description="Variant of the detectors: the champion.")] = "standard"
    challenger: Annotated[
        str, msgspec.Meta(description="A variant that runs in shadow on the same rows (`--challenger`); empty for none.")
    ] = ""
    planned: Annotated[
        tuple[Planned, ...], msgspec.Meta(description="What was planned and is to be expected (`--calendar`).")
    ] = ()
    snapshot_key: Annotated[
        str,
        msgspec.Meta(
            pattern="^([0-9a-f]{64})?$",
            description="Secret of the run, in hex, that signs its snapshots. The supervisor draws it.",
        ),
    ] = ""

    @property
    def rate(self) -> float | None:
        """Event seconds per wall second, None for as fast as possible."""
        return None if self.speed == "max" else float(self.speed[:-1])

    @property
    def is_endless(self) -> bool:
        """Whether the run goes on until it is stopped, so that being stopped is its end."""
        return not isinstance(self.source, FilesSpec) and self.source.duration_seconds is None

    @property
    def live_folder(self) -> Path:
        """Where lies what came in from a venue, as it came."""
        kept = self.source.record_dir if isinstance(self.source, LiveSpec | IngestSpec) else None
        return Path(kept) if kept is not None else Path(self.state_dir) / "live"

    @property
    def content_sha256(self) -> str:
        """Hash of everything that decides the results: not where files lie, nor how fast or under which id the run went."""
        source = self.source
        if isinstance(source, FilesSpec):
            source = FilesSpec(paths=tuple(Path(path).name for path in source.paths), format=source.format)
        elif isinstance(source, VenueSpec):
            source = msgspec.structs.replace(source, journal_dir=None)
        elif isinstance(source, LiveSpec):
            source = LiveSpec(source.venue, source.symbols, source.duration_seconds)
        elif isinstance(source, IngestSpec):
            source = IngestSpec(hashlib.sha256(Path(source.description).read_bytes()).hexdigest())
        content = {"source": source, "step_ns": STEP_NS}
        return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


def parse_config(data: bytes, where: str) -> RunConfig:
    """A configuration from JSON. Raises ConfigError, which names `where` and the key."""
    try:
        config = msgspec.json.decode(data, type=RunConfig)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{where}: {error}") from error
    if config.rate is not None and config.rate <= 0:
        raise ConfigError(f"{where}: speed {config.speed!r} never ends; give max or a factor above zero, such as 1x")
    return config


def load_config(path: Path) -> RunConfig:
    """The configuration in a file that `save_config` wrote. Raises ConfigError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); the supervisor writes it for its roles") from error
    return parse_config(data, str(path))


def save_config(config: RunConfig, path: Path) -> None:
    """Writes `config` so that only its owner can read it."""
    data = msgspec.json.format(msgspec.json.encode(config), indent=2)
    parse_config(data, str(path))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(data)
