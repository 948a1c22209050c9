"""Who is who: which slot of the state an entity has, which group it belongs to, and who makes room for newcomers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

import numpy as np

from models.state import Entities, Ints, clear_slots, grown

Id = Hashable
Groups = Mapping[Any, Hashable] | Callable[[Any], Hashable] | None
SLOTS: Final = 16  # to begin with
# Entities remembered at most: this many, or four times the rows of a window. The longest unseen make room.
MOST: Final = 16_384
_BUSY: Final = int(np.iinfo(np.int64).max)


class Register:
    """Slots by id, groups by label, and the free slots."""

    def __init__(self, groups: Groups) -> None:
        self.groups = groups
        self.slots: dict[Id, int] = {}
        self.labels: dict[Hashable, int] = {}
        self._free = list(range(SLOTS - 1, -1, -1))
        self._last: tuple[Any, Ints] | None = None

    def look_up(self, rows: int, ids: Any, entities: Entities, empty: int) -> tuple[Ints, Ints]:
        """(slots, groups) for scoring; slot -1 is an entity not met yet, group `empty` a group not met yet."""
        slots = self._same_as_last(rows, ids)
        if slots is None:
            keys = _keys(rows, ids)
            slots = np.array([self.slots.get(key, -1) for key in keys], np.int64)
            if self.groups is not None:
                return slots, np.array([self.labels.get(self._label(key), empty) for key in keys], np.int64)
        if self.groups is None:
            return slots, np.zeros(rows, np.int64)
        return slots, entities.group[slots]

    def admit(self, rows: int, t: int, ids: Any, entities: Entities) -> tuple[Ints, Entities]:
        """(slots, the entities' arrays, grown if need be) for learning window t; ValueError for a window learnt already."""
        slots = self._same_as_last(rows, ids)
        if slots is not None:
            _refuse_twice(slots, t, entities)
            return slots, entities
        keys = _keys(rows, ids)
        fresh = [key for key in keys if key not in self.slots]
        labels = [] if self.groups is None else [self._label(key) for key in fresh]
        met = np.array([self.slots[key] for key in keys if key in self.slots], np.int64)
        _refuse_twice(met, t, entities)
        entities = self._make_room(len(fresh), met, max(MOST, 4 * rows), entities)
        for key in fresh:
            self.slots[key] = self._free.pop()
        for key, label in zip(fresh, labels, strict=False):
            entities.group[self.slots[key]] = self.labels.setdefault(label, len(self.labels))
        slots = np.array([self.slots[key] for key in keys], np.int64)
        if ids is None or isinstance(ids, list | np.ndarray):
            self._last = (None if ids is None else ids.copy(), slots)
        else:
            self._last = None
        return slots, entities

    def _same_as_last(self, rows: int, ids: Any) -> Ints | None:
        """Slots of the ids learnt last, when these are the same: thousands of look-ups saved a window."""
        if self._last is None or len(self._last[1]) != rows:
            return None
        before, slots = self._last
        if ids is None or before is None:
            return slots if ids is None and before is None else None
        if isinstance(ids, np.ndarray) and isinstance(before, np.ndarray):
            return slots if ids.dtype == before.dtype and np.array_equal(ids, before) else None
        return slots if isinstance(ids, list) and isinstance(before, list) and ids == before else None

    def _label(self, key: Id) -> Hashable:
        assert self.groups is not None
        try:
            return self.groups[key] if isinstance(self.groups, Mapping) else self.groups(key)
        except KeyError:
            raise ValueError(f"groups has no entry for entity {key!r}: add it, or give a function") from None

    def _make_room(self, wanted: int, busy: Ints, most: int, entities: Entities) -> Entities:
        """Free slots for `wanted` new entities: grow up to `most`, then forget those not seen for longest."""
        capacity = len(entities.last)
        short = wanted - len(self._free)
        if short <= 0:
            return entities
        room = min(max(2 * capacity, capacity + short), max(most, len(busy) + wanted))
        if room > capacity:
            entities = grown(entities, room)
            self._free = list(range(room - 1, capacity - 1, -1)) + self._free
            short = wanted - len(self._free)
        if short <= 0:
            return entities
        last = entities.last.copy()
        last[busy] = _BUSY
        last[self._free] = _BUSY
        # A quarter at a time, or every newcomer would pay for a sort.
        idle = int((last < _BUSY).sum())
        leaving = np.argsort(last, kind="stable")[: max(short, min(capacity // 4, idle))]
        gone = set(leaving.tolist())
        self.slots = {key: slot for key, slot in self.slots.items() if slot not in gone}
        clear_slots(entities, leaving)
        self._free += sorted(gone, reverse=True)
        return entities


def _keys(rows: int, ids: Any) -> list[Id]:
    keys = list(range(rows)) if ids is None else ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
    if len(set(keys)) != len(keys):
        raise ValueError("ids holds an entity twice: give one row for each entity and window")
    return keys


def _refuse_twice(slots: Ints, t: int, entities: Entities) -> None:
    if len(slots) and entities.last[slots].max() >= t:
        raise ValueError(f"window {t} was learnt already for some of these entities: learn each window once")
