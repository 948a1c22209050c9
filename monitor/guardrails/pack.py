"""The guardrail pack: rules as data, checked when loaded, named by a hash in every audit chain.

Reading the packaged file is the only IO in this package.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Annotated, Literal

import msgspec

from monitor.guardrails.verdict import NS_PER_S, Thresholds

Layer = Literal["data", "pricing", "margin", "execution", "post-trade"]
Share = Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=86_400)]


class PackError(ValueError):
    """The pack is wrong; the message names the key."""


class Horizon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One bound: the price may stand `bound` (a share) away from the mean of the last `seconds` windows' prices."""

    seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)]
    bound: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule of the table in RISK-SPEC section 9, applied to every symbol."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{1,47}$")]
    layer: Layer
    kind: Literal["threshold", "price_bounds"]
    input: str
    unit: str
    warn: Positive
    breach: Positive
    source: str
    text: str
    absolute: bool = False
    halt: Positive | None = None
    halt_after_s: Seconds = 0
    horizons: tuple[Horizon, ...] = ()


class Pack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All rules of a guard, with the hysteresis they share."""

    name: str
    version: int
    hysteresis: Share
    dwell_s: Seconds
    halt_min_s: Seconds
    rules: tuple[Rule, ...]

    def thresholds(self, rule: Rule) -> Thresholds:
        return Thresholds(
            warn=rule.warn,
            breach=rule.breach,
            halt=rule.halt,
            halt_after_ns=rule.halt_after_s * NS_PER_S,
            hysteresis=self.hysteresis,
            dwell_ns=self.dwell_s * NS_PER_S,
            halt_min_ns=self.halt_min_s * NS_PER_S,
        )

    @property
    def sha256(self) -> str:
        """Hash of the pack's content; comments and layout of its file do not count."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


def parse_pack(text: str, inputs: tuple[str, ...]) -> Pack:
    """A pack from TOML. `inputs` are the metric names a rule may read. Raises PackError, which names the key."""
    try:
        pack = msgspec.toml.decode(text, type=Pack)
    except msgspec.MsgspecError as error:
        raise PackError(f"guardrail pack: {error}") from error
    return check_pack(pack, inputs)


def check_pack(pack: Pack, inputs: tuple[str, ...]) -> Pack:
    """`pack` again, or a PackError: what a type cannot say (order of thresholds, doubled names, unknown inputs)."""
    seen: set[str] = set()
    for rule in pack.rules:
        where = f"guardrail pack {pack.name!r}: rule {rule.name!r}"
        if rule.name in seen:
            raise PackError(f"{where}: the name stands twice")
        seen.add(rule.name)
        if rule.input not in inputs:
            raise PackError(f"{where}: input {rule.input!r} is not a metric; see the README's table of metrics")
        if not rule.warn <= rule.breach <= (rule.halt if rule.halt is not None else rule.breach):
            raise PackError(f"{where}: thresholds must rise: warn {rule.warn}, breach {rule.breach}, halt {rule.halt}")
        if (rule.kind == "price_bounds") != bool(rule.horizons):
            raise PackError(f"{where}: horizons belong to price_bounds rules, and such a rule needs at least one")
    if not seen:
        raise PackError(f"guardrail pack {pack.name!r}: rules: it has none")
    return pack


def load_core(inputs: tuple[str, ...]) -> Pack:
    """The default pack `core` that is shipped beside this module."""
    text = resources.files("monitor.guardrails").joinpath("core.toml").read_text(encoding="utf-8")
    return parse_pack(text, inputs)
