"""Variants of the detectors: the one in use, the champion, and those that may run beside it and be promoted by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from models.detectors.family import Family


class Variant(msgspec.Struct, frozen=True):
    """A way to set the detectors up: what it is, and by what its families' memories are multiplied."""

    name: str
    says: str
    memory: float

    def of(self, family: Family) -> Family:
        """The family as this variant has it."""
        return msgspec.structs.replace(family, half_life_s=round(family.half_life_s * self.memory))


STANDARD: Final = "standard"
VARIANTS: Final = {
    variant.name: variant
    for variant in (
        Variant(STANDARD, "levels remembered for an hour, cancels for ten minutes", 1.0),
        Variant("patient", "levels remembered three times as long: slow changes stay unusual for longer", 3.0),
        Variant("quick", "levels remembered a third as long: what lasts is soon usual", 1.0 / 3.0),
    )
}
