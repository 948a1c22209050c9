"""What a detector says: one anomaly of one window, and the contributions that add up to its score.

Frozen, and exactly the fields of `anomalies.jsonl`: what is published, stored and shown is this, encoded as JSON.
"""

from __future__ import annotations

from typing import Final

import msgspec

SCHEMA_VERSION: Final = 1
"""Fields are added to a version, never given another meaning."""

LAYERS: Final = {"cancels": "execution", "depth": "execution", "leverage": "margin", "prices": "pricing", "market": "execution"}
"""The layer of troubleshooting that each family belongs to."""


class Contribution(msgspec.Struct, frozen=True):
    """One feature's part of a score.

    `value` and the expected range are in `unit`; null where the feature is missing or its range is unknown. `contribution` is
    in units of the score. `says` is the same as part of a sentence.
    """

    feature: str
    value: float | None
    expected_low: float | None
    expected_high: float | None
    unit: str
    contribution: float
    says: str = ""


class Drift(msgspec.Struct, frozen=True):
    """A feature of a symbol whose level has changed for good, as seen in the window that ends at `window_end_ns`.

    It went from `before` to `after` standard deviations of what was expected. `adopted` says whether the detector took the new
    level for usual. A line of `drifts.jsonl`.
    """

    window_end_ns: int
    symbol: str
    family: str
    feature: str
    before: float
    after: float
    adopted: bool
    says: str
    v: int = SCHEMA_VERSION


class Anomaly(msgspec.Struct, frozen=True):
    """An unusual window [`window_start_ns`, `window_end_ns`) of a symbol, or of an account in it, in one family.

    `false_alarm_rate` is the conservative rate at which quiet windows score so high, all window lengths combined;
    `window_ms` is the length that spoke loudest, and `score`, `rarity` and `contributions` (largest first, adding up to the
    score) are that length's. `event` is shared by the lines that belong together (`models.correlation`), which fills it.
    """

    window_start_ns: int
    window_end_ns: int
    window_ms: int
    symbol: str
    account: int | str | None
    family: str
    layer: str
    event: str
    score: float
    rarity: float
    false_alarm_rate: float
    contributions: tuple[Contribution, ...]
    phase: str = ""
    """HISTORY, LIVE or REPLAY, where the run knows it."""
    kind: str = ""
    """What sort of anomaly of its family it is, in one word of the family's (`models.detectors.kinds`); "" if it is of none."""
    notes: tuple[str, ...] = ()
    """What else is to be known of it, in sentences."""
    second_opinion: float | None = None
    """Which share of what was seen half-space trees found less unusual (`models.second_opinion`); null where they are not
    asked, or too young."""
    v: int = SCHEMA_VERSION
