"""Where in a run something stands: the id of a blob in every stream that carries it on.

A blob of windows has the id `<index of its last window>-0`, and so has what each role made of it. The run's end is
`<index of the last window>-1`, right after it. Ids are given, never drawn by the server: the same blob sent twice has the
same id, and Redis refuses the second.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Position(NamedTuple):
    """A place in the run. Tuples compare as the ids do in Redis."""

    window: int
    part: int = 0

    def __str__(self) -> str:
        return f"{self.window}-{self.part}"

    @classmethod
    def parse(cls, text: str | bytes) -> Position:
        """The position that `str` gave. Raises ValueError for anything else."""
        window, _, part = (text.decode() if isinstance(text, bytes) else text).partition("-")
        return cls(int(window), int(part))

    @property
    def is_end(self) -> bool:
        """Whether this is the end marker's place (only windows carry part 0)."""
        return self.part == 1

    def end(self) -> Position:
        """The place of the end marker after this blob."""
        return Position(self.window, 1)


START: Final = Position(0, 0)
"""Before the first window."""
