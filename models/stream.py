"""The public detector: a river estimator over one stream, and a batched one over thousands of entities."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river.base import AnomalyDetector

from models import window
from models.frontend import NONE, TRANSFORM_NAMES, fourier, inverse
from models.register import SLOTS, Id, Register
from models.relearn import Rehearsal, convert_features
from models.state import (
    CLOCK_T,
    HARMONICS,
    NEVER,
    Entities,
    Floats,
    Ints,
    Pool,
    new_entities,
    new_pool,
    regrouped,
    widened,
)

_SIDES: Final = {"both": window.BOTH, "high": window.HIGH, "low": window.LOW}


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of E entities (a leading axis of windows in block form) on F features.

    `score` [E] is `m'Ωm + ½ q'Ω_q q` ≥ 0; `rarity` [E] the share of all scores seen that were lower; `false_alarm_rate` [E] the
    probability that an ordinary row scores as high (1 until it can be stated); `contributions` [E, F] sum to the score;
    `drift` [E] is True in the window in which an entity's new level is adopted.
    """

    score: Floats
    rarity: Floats
    false_alarm_rate: Floats
    contributions: Floats
    drift: NDArray[np.bool_]
    _low: Floats
    _high: Floats
    # The transforms in force and the number of windows each was: ((windows, codes, floors), ...)
    _coding: tuple[tuple[int, Ints, Floats], ...]

    @property
    def expected_low(self) -> Floats:
        """[E, F] lower end of the central 95% expected of each feature before the row was seen, in its unit; NaN if unknown."""
        return self._raw(self._low)

    @property
    def expected_high(self) -> Floats:
        """[E, F] upper end of that range."""
        return self._raw(self._high)

    def _raw(self, y: Floats) -> Floats:
        blocks, first = y.reshape(int(np.prod(y.shape[:-2])), *y.shape[-2:]), 0
        out = np.empty_like(blocks)
        for windows, codes, floors in self._coding:
            part = blocks[first : first + windows]
            rows = part.reshape(windows * y.shape[-2], y.shape[-1])
            out[first : first + windows] = inverse(rows, codes, floors).reshape(part.shape)
            first += windows
        return out.reshape(y.shape)


class StreamDetector(AnomalyDetector):
    """Scores rows by what is unusual for their entity, and says which features made it so.

    A seasonal front end standardises each feature of each entity; the residuals become Gaussian scores by the group's own
    marginals; the score is a robust Mahalanobis distance of the row plus half that of its EWMA, and each feature's contribution
    is its exact Shapley value. The transform a feature needs (logarithm, root, arcsine, none) is found online and stated in
    `transforms`. Time is the integer window index `t`; nothing reads a clock, and the same rows give the same bits.

    Parameters
    ----------
    features
        Names of the features in column order, or None: `score_many` then names the columns `0 … F-1`, and `score_one` takes
        features as they come, new ones included. Keys that are not named are ignored.
    season
        Length of the season in windows (a day, say), or None where none is known.
    sides
        Which deviations count: 'both', 'high' or 'low', or a list with one of these for each feature.
    groups
        Which entities share marginals and covariance: a mapping or a function from id to group. None: all of them.

    Examples
    --------
    >>> import numpy as np
    >>> from models import StreamDetector
    >>> rng = np.random.default_rng(1)
    >>> detector = StreamDetector(features=["adds", "cancels", "depth"])
    >>> for t, row in enumerate(rng.normal(size=(500, 3))):
    ...     detector.learn_one(dict(zip(detector.features, row)))
    >>> scores = detector.score_many([[0.0, 9.0, 0.0]], t=500)
    >>> int(scores.contributions[0].argmax()), bool(scores.false_alarm_rate[0] < 1e-3)
    (1, True)
    """

    def __init__(
        self,
        features: Sequence[Hashable] | None = None,
        season: int | None = None,
        sides: str | Sequence[str] = "both",
        groups: Mapping[Any, Hashable] | Callable[[Any], Hashable] | None = None,
    ) -> None:
        if season is not None and (not isinstance(season, int | np.integer) or season < 2):
            raise ValueError(f"season is {season!r}: give the number of windows (an integer of 2 or more), or None")
        for side in [sides] if isinstance(sides, str) else sides:
            if side not in _SIDES:
                raise ValueError(f"sides holds {side!r}: use 'both', 'high' or 'low', once or for each feature")
        if features is not None and len(set(features)) != len(features):
            raise ValueError("features holds a name twice: name each column once")
        self.features = features
        self.season = season
        self.sides = sides
        self.groups = groups
        self._names: list[Hashable] = []
        self._entities: Entities | None = None
        self._pool: Pool | None = None
        self._work: window.Scratch | None = None
        # The season's gain of the window learnt last: entities of that window that come in a later call need it.
        self._gain: Floats = np.zeros(0)
        self._rehearsal: Rehearsal | None = None
        self._codes: Ints = np.zeros(0, np.int64)
        self._floors: Floats = np.ones(0)
        self._sides: Ints = np.zeros(0, np.int64)
        self._register = Register(groups)
        if features is not None:
            self._start(list(features))

    # -- batched ------------------------------------------------------------------------------------------------------------

    def score_many(self, X: ArrayLike, t: int, ids: Sequence[Id] | NDArray[Any] | None = None) -> Scores:
        """Score rows X [E, F] of window t for entities `ids` (default `0 … E-1`) without changing anything.

        NaN is missing and contributes 0. Raises ValueError for a wrong shape, a repeated id or a t before the last one learnt.
        """
        x, moment = self._checked(X, t, ids)
        if self._pool is None:
            features = x.shape[1]
            return self._scores(window.new_outputs(*x.shape), (1, np.zeros(features, np.int64), np.ones(features)))
        assert self._entities is not None
        slots, groups = self._register.look_up(len(x), ids, self._entities, len(self._pool.level) - 1)
        out = window.new_outputs(*x.shape)
        self._process(x, moment, slots, groups, out, score=True, learn=False)
        return self._scores(out, (1, self._codes, self._floors))

    def learn_many(self, X: ArrayLike, t: int, ids: Sequence[Id] | NDArray[Any] | None = None) -> None:
        """Learn rows X [E, F] of window t, one call a window. Raises ValueError as `score_many`, and for one learnt twice."""
        x, moment = self._checked(X, t, ids)
        self._learn(x, moment, ids, window.new_outputs(0, x.shape[1]), score=False)

    def score_learn_many(self, X: ArrayLike, t: int, ids: Sequence[Id] | NDArray[Any] | None = None) -> Scores:
        """`score_many` and then `learn_many` in one pass, with the same bits."""
        x, moment = self._checked(X, t, ids)
        out = window.new_outputs(*x.shape)
        codes, floors = self._learn(x, moment, ids, out, score=True)
        return self._scores(out, (1, codes, floors))

    def score_learn_block(self, X: ArrayLike, t: ArrayLike, ids: Sequence[Id] | NDArray[Any] | None = None) -> Scores:
        """Windows X [W, E, F] at indexes t [W] in turn: the same bits as `score_learn_many` window by window.

        Arrays of the result have a leading axis of windows.
        """
        x = np.ascontiguousarray(X, np.float64)
        times = np.asarray(t)
        if x.ndim != 3 or times.shape != x.shape[:1]:
            raise ValueError(f"X has shape {x.shape}, t {times.shape}: give [windows, entities, features] and [windows]")
        if len(x) == 0:
            raise ValueError("the block holds no window: give at least one")
        if np.any(np.diff(times) <= 0):
            raise ValueError("t goes back or repeats within the block: sort the windows and give each once")
        out = window.new_outputs(x.shape[1], x.shape[2], len(x))
        done = 0
        coding: list[tuple[int, Ints, Floats]] = []
        # Until the transforms are decided, windows go one by one: a decision may fall behind any of them.
        while done < len(x) and (self._pool is None or self._rehearsal is not None):
            one = window.outputs_at(out, done)
            row, moment = self._checked(x[done], times[done], ids)
            codes, floors = self._learn(row, moment, ids, one, score=True)
            coding.append((1, codes, floors))
            done += 1
        if done < len(x):
            row, _ = self._checked(x[done], times[done], ids)
            slots, groups = self._admit(len(row), int(times[done]), ids)
            phi = np.stack([fourier(int(moment), self.season or 0) for moment in times])
            times = times.astype(np.int64)
        while done < len(x):
            assert self._entities is not None
            assert self._pool is not None
            rest = window.outputs_at(out, slice(done, None))
            codes, floors = self._codes, self._floors
            windows = window.process_block(
                x[done:], times[done:], slots, groups, codes, floors, self._sides, self.season or 0,
                phi[done:], self._entities, self._pool, self._scratch(), rest,
            )  # fmt: skip
            coding.append((windows, codes, floors))
            done += windows
            self._revoke(int(times[done - 1]))
        return self._scores(out, *coding)

    # -- one row at a time: river's interface ----------------------------------------------------------------------------------

    def score_one(self, x: dict[Hashable, Any]) -> float:
        """Score of a row given by name. Unnamed or missing features and None count as missing. Changes nothing."""
        return float(self._score_row(x).score[0])

    def learn_one(self, x: dict[Hashable, Any]) -> None:
        """Learn a row given by name; its window index is the one after the last learnt."""
        self._add_features(x)
        if self._names:
            self.learn_many(self._row(x), self._next(), None)

    def explain_one(self, x: dict[Hashable, Any]) -> dict[str, Any]:
        """Everything about a row: score, rarity, false_alarm_rate, drift, and `contributions`, largest first.

        Each contribution holds feature, value, expected_low, expected_high (the feature's own unit) and contribution; together
        they sum to the score.
        """
        scores = self._score_row(x)
        low, high = scores.expected_low[0], scores.expected_high[0]
        parts: list[dict[str, Any]] = [
            {
                "feature": name,
                "value": x.get(name),
                "expected_low": float(low[f]),
                "expected_high": float(high[f]),
                "contribution": float(scores.contributions[0, f]),
            }
            for f, name in enumerate(self._names)
        ]
        parts.sort(key=lambda part: part["contribution"], reverse=True)
        return {
            "score": float(scores.score[0]),
            "rarity": float(scores.rarity[0]),
            "false_alarm_rate": float(scores.false_alarm_rate[0]),
            "drift": bool(scores.drift[0]),
            "contributions": parts,
        }

    # -- what it has found out -------------------------------------------------------------------------------------------------

    @property
    def transforms(self) -> dict[Hashable, str]:
        """The transform of each feature: 'none', 'log', 'sqrt' or 'arcsine'."""
        return {name: TRANSFORM_NAMES[code] for name, code in zip(self._names, self._codes, strict=True)}

    @property
    def transforms_decided_at(self) -> dict[Hashable, int | None]:
        """Window index at which each feature's transform was last changed or, unchanged, confirmed; None while it is open."""
        return {name: None if t == NEVER else int(t) for name, t in zip(self._names, self._decided, strict=True)}

    @property
    def entities(self) -> int:
        """Entities remembered."""
        return len(self._register.slots)

    def drifts(self, ids: Sequence[Id] | NDArray[Any] | None = None) -> dict[Id, int]:
        """How often each entity's level was given up for a new one."""
        slots = self._register.slots
        known = slots if ids is None else {i: slots[i] for i in ids if i in slots}
        return {i: 0 if self._entities is None else int(self._entities.drifts[slot]) for i, slot in known.items()}

    # -- inside ---------------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_work": None}

    def _start(self, names: list[Hashable]) -> None:
        terms = 0 if self.season is None else 2 * HARMONICS + 1
        # First, for it may refuse.
        self._name(names)
        # With groups the last row of the pool stays empty: it is what a group not met yet has.
        self._entities = new_entities(SLOTS, len(names), terms)
        self._pool = new_pool(1, len(names), terms)
        self._rehearsal = Rehearsal(len(names))
        self._gain = np.zeros(terms)

    def _name(self, names: list[Hashable]) -> None:
        if not isinstance(self.sides, str) and len(self.sides) != len(names):
            raise ValueError(f"sides has {len(self.sides)} entries for {len(names)} features: give one for each or one word")
        added = len(names) - len(self._names)
        self._names = names
        self._codes = np.concatenate((self._codes, np.zeros(added, np.int64)))
        self._floors = np.concatenate((self._floors, np.ones(added)))
        self._decided = np.concatenate((getattr(self, "_decided", np.zeros(0, np.int64)), np.full(added, NEVER, np.int64)))
        words = [self.sides] * len(names) if isinstance(self.sides, str) else self.sides
        self._sides = np.array([_SIDES[side] for side in words], np.int64)

    def _checked(self, X: ArrayLike, t: Any, ids: Any) -> tuple[Floats, int]:
        x = np.ascontiguousarray(X, np.float64)
        if x.ndim != 2 or x.shape[1] == 0:
            raise ValueError(f"X has shape {x.shape}: give [entities, features] with at least one feature")
        if self._pool is not None and x.shape[1] != len(self._names):
            raise ValueError(f"X has {x.shape[1]} columns for {len(self._names)} features: give NaN for what is missing")
        if ids is not None and len(ids) != len(x):
            raise ValueError(f"{len(ids)} ids for {len(x)} rows: give one for each row")
        try:
            moment = operator.index(t)
        except TypeError:
            raise ValueError(f"t is {t!r}: give the integer window index") from None
        if self._pool is not None and moment < self._pool.clock[CLOCK_T]:
            raise ValueError(f"t goes back from {self._pool.clock[CLOCK_T]} to {moment}: give windows in order, drop late ones")
        return x, moment

    def _scratch(self) -> window.Scratch:
        assert self._pool is not None
        if self._work is None:
            self._work = window.new_scratch(len(self._pool.level), len(self._names), len(self._pool.p))
            self._work = self._work._replace(gain=self._gain)
        return self._work

    def _process(self, x: Floats, t: int, slots: Ints, groups: Ints, out: window.Outputs, score: bool, learn: bool) -> None:
        assert self._entities is not None
        assert self._pool is not None
        season = self.season or 0
        window.process_window(
            x, t, slots, groups, self._codes, self._floors, self._sides, season, fourier(t, season),
            self._entities, self._pool, self._scratch(), out, score, learn,
        )  # fmt: skip

    def _admit(self, rows: int, t: int, ids: Any) -> tuple[Ints, Ints]:
        """(slots, groups) for learning, room made for new entities and groups."""
        assert self._entities is not None
        assert self._pool is not None
        slots, self._entities = self._register.admit(rows, t, ids, self._entities)
        if self._register.labels and len(self._register.labels) >= len(self._pool.level):
            self._pool = regrouped(self._pool, len(self._register.labels) + 1)
            self._work = None
        return slots, self._entities.group[slots]

    def _learn(self, x: Floats, t: int, ids: Any, out: window.Outputs, score: bool) -> tuple[Ints, Floats]:
        """Learn a window; returns the transforms it was scored with."""
        if self._pool is None:
            self._start(list(range(x.shape[1])))
            try:
                slots, groups = self._admit(len(x), t, ids)
            except Exception:
                # Nothing was learnt: the width is as open as before.
                self._names, self._entities, self._pool, self._rehearsal = [], None, None, None
                self._codes, self._floors, self._decided = np.zeros(0, np.int64), np.ones(0), np.zeros(0, np.int64)
                raise
        else:
            slots, groups = self._admit(len(x), t, ids)
        codes, floors = self._codes, self._floors
        assert self._pool is not None
        self._process(x, t, slots, groups, out, score, learn=True)
        if self._rehearsal is not None:
            self._rehearse(x, t, slots, groups)
        self._revoke(t)
        return codes, floors

    def _revoke(self, t: int) -> None:
        """Give up a logarithm that negative values proved wrong."""
        assert self._entities is not None
        assert self._pool is not None
        wrong = self._pool.misfits >= window.MISFITS
        if not wrong.any():
            return
        old = self._codes, self._floors
        self._codes, self._floors = np.where(wrong, NONE, self._codes), np.where(wrong, 1.0, self._floors)
        self._decided = np.where(wrong, t, self._decided)
        self._pool.misfits[wrong] = 0
        convert_features(self._entities, self._pool, wrong, old, (self._codes, self._floors))

    def _rehearse(self, x: Floats, t: int, slots: Ints, groups: Ints) -> None:
        """Keep the first rows, and when they have something to say about the transforms, change them and learn again."""
        rehearsal = self._rehearsal
        assert rehearsal is not None
        assert self._entities is not None
        assert self._pool is not None
        if not rehearsal.keep(x, t, slots, groups):
            return
        codes, floors, settled = rehearsal.decide(self._codes, self._floors, self._decided != NEVER)
        changed = (codes != self._codes) | (floors != self._floors)
        old_codes, old_floors = self._codes, self._floors
        self._codes, self._floors = codes, floors
        self._decided = np.where(settled & (self._decided == NEVER), t, self._decided)
        if changed.any() and rehearsal.complete:
            arrays: list[Any] = [*self._entities[4:], self._entities.held, self._entities.drifts]
            for array in arrays:
                array[:] = 0
            self._entities.last[:] = NEVER
            blank = new_pool(len(self._pool.level), len(self._names), len(self._pool.p))
            for array, fresh in zip(self._pool, blank, strict=True):
                array[...] = fresh
            nothing = window.new_outputs(0, len(self._names))
            for rows, moment, owner, group in rehearsal.windows():
                self._process(rows, moment, owner, group, nothing, score=False, learn=True)
        elif changed.any():
            convert_features(self._entities, self._pool, changed, (old_codes, old_floors), (codes, floors))
        if settled.all():
            self._rehearsal = None

    def _scores(self, out: window.Outputs, *coding: tuple[int, Ints, Floats]) -> Scores:
        return Scores(out.score, out.rarity, out.rate, out.contributions, out.drift, out.low, out.high, coding)

    def _next(self) -> int:
        return 0 if self._pool is None or self._pool.clock[CLOCK_T] == NEVER else int(self._pool.clock[CLOCK_T]) + 1

    def _row(self, x: Mapping[Hashable, Any]) -> Floats:
        row = np.full((1, len(self._names)), np.nan)
        for f, name in enumerate(self._names):
            value = x.get(name)
            if value is not None:
                try:
                    row[0, f] = float(value)
                except (TypeError, ValueError):
                    raise ValueError(f"feature {name!r} is {value!r}: give a number, or None where it is missing") from None
        return row

    def _score_row(self, x: Mapping[Hashable, Any]) -> Scores:
        if not self._names:
            return self._scores(window.new_outputs(1, 0), (1, self._codes, self._floors))
        return self.score_many(self._row(x), self._next(), None)

    def _add_features(self, x: Mapping[Hashable, Any]) -> None:
        """Make columns for names not met yet, sorted, so that the order within a row does not matter."""
        if self.features is not None:
            return
        present = set(self._names)
        fresh = sorted((name for name in x if name not in present), key=lambda name: (str(type(name)), str(name)))
        if not fresh:
            return
        if self._pool is None:
            self._start(fresh)
            return
        assert self._entities is not None
        names = self._names + fresh
        self._name(names)
        self._entities, self._pool = widened(self._entities, self._pool, len(names))
        self._work = None
        self._rehearsal = Rehearsal(len(names)) if self._rehearsal is None else self._rehearsal.widened(len(names))
