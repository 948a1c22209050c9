"""The first rows, kept until every feature's transform is decided, and learnt again when a decision changes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.frontend import carried
from models.state import Entities, Floats, Ints, Pool
from models.transforms import choose_transform
from models.window import refresh_borrowed

ROWS: Final = 2048  # kept at most
OWNERS: Final = 8  # entities whose rows are kept: their first values stand for all
_DECISIONS: Final = (64, 128, 256, 512, 1024)  # kept rows at which a look is worth while; then every 1024
SETTLED: Final = 1600  # values after which a feature's transform stays

Code = tuple[Ints, Floats]


class Rehearsal:
    """A ring of the last `ROWS` rows of the first `OWNERS` slots, with the window call each came in."""

    def __init__(self, features: int) -> None:
        self.x: Floats = np.full((ROWS, features), np.nan)
        self.t: Ints = np.zeros(ROWS, np.int64)
        self.slot: Ints = np.zeros(ROWS, np.int64)
        self.group: Ints = np.zeros(ROWS, np.int64)
        self.kept = 0
        self.complete = True  # nothing that was learnt is missing here

    def widened(self, features: int) -> Rehearsal:
        """The same rows with room for more features."""
        new = Rehearsal(features)
        new.x[:, : self.x.shape[1]] = self.x
        new.t, new.slot, new.group, new.kept, new.complete = self.t, self.slot, self.group, self.kept, self.complete
        return new

    def keep(self, x: Floats, t: int, slots: Ints, groups: Ints) -> bool:
        """Keep a window's rows; True when it is time to decide."""
        before = self.kept
        for e in np.flatnonzero(slots < OWNERS):
            i = self.kept % ROWS
            self.x[i], self.t[i], self.slot[i], self.group[i] = x[e], t, slots[e], groups[e]
            self.kept += 1
        if self.kept - before < len(slots) or self.kept > ROWS:
            self.complete = False
        return any(before < mark <= self.kept for mark in _DECISIONS) or self.kept // 1024 > before // 1024

    def _order(self) -> Ints:
        return np.arange(self.kept) if self.kept <= ROWS else np.arange(self.kept - ROWS, self.kept) % ROWS

    def decide(self, codes: Ints, floors: Floats, settled: NDArray[np.bool_]) -> tuple[Ints, Floats, NDArray[np.bool_]]:
        """(codes, floors, settled) after looking at the kept rows; what was settled stays."""
        codes, floors, settled = codes.copy(), floors.copy(), settled.copy()
        order = self._order()
        owners = self.slot[order]
        for f in np.flatnonzero(~settled):
            values = self.x[order, f]
            codes_f, floor = choose_transform(values, owners)
            # A floor that merely moved with new values is no reason to learn again.
            if codes_f != codes[f]:
                codes[f], floors[f] = codes_f, floor
            finite = values[np.isfinite(values)]
            settled[f] = len(finite) >= SETTLED and np.ptp(finite) > 0.0
        return codes, floors, settled

    def windows(self) -> Iterator[tuple[Floats, int, Ints, Ints]]:
        """The kept rows by window, oldest first: (x, t, slots, groups)."""
        order = self._order()
        times = self.t[order]
        starts = np.flatnonzero(np.diff(times, prepend=times[0] - 1))
        for rows in np.split(order, starts[1:]):
            yield self.x[rows], int(self.t[rows[0]]), self.slot[rows], self.group[rows]


def convert_features(entities: Entities, pool: Pool, changed: NDArray[np.bool_], old: Code, new: Code) -> None:
    """Carry levels and scales of the `changed` features to a new transform by the delta method (in place).

    Their marginals and correlations start again: these were those of another shape.
    """
    seasonal = entities.w.shape[2] > 0
    centre = entities.level + (entities.w[:, :, 0] if seasonal else 0.0)
    log_scale = entities.log_scale + (entities.v[:, :, 0] if seasonal else 0.0)
    scale = np.exp(np.minimum(log_scale, 300.0))
    # The slope between half a scale below and above: a scale can be wide beside a logarithm's bend.
    slope = carried(centre + 0.5 * scale, old, new) - carried(centre - 0.5 * scale, old, new)
    ratio = np.divide(slope, scale, out=np.ones_like(scale), where=(scale > 0.0) & (slope > 0.0))
    centre = carried(centre, old, new)
    for f in np.flatnonzero(changed):
        entities.previous[:, f] = carried(entities.previous, old, new)[:, f]
        entities.step[:, f] *= ratio[:, f]
        entities.w[:, f] *= ratio[:, f, None]
        (entities.v[:, f, 0] if seasonal else entities.log_scale[:, f])[:] += np.log(ratio[:, f])
        if seasonal:
            entities.level[:, f] = 0.0
            entities.w[:, f, 0] = centre[:, f]
        else:
            entities.level[:, f] = centre[:, f]
        pool.scale[:, f] = 0.0
        pool.histogram[:, f] = 0.0
        pool.table[:, f] = np.linspace(-10.0, 10.0, pool.table.shape[2])
        for square, diagonal in ((pool.covariance, 1.0), (pool.covariance_q, 0.25)):
            square[:, f, :] = 0.0
            square[:, :, f] = 0.0
            square[:, f, f] = diagonal
    refresh_borrowed(entities, pool)
