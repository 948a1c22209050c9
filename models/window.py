"""One window through the whole detector, in one compiled pass over its entities.

The order for each entity: predict, standardise, Gaussian score, EWMA, contributions and rates; then, when learning, the
entity's own arrays at once and what the group shares after the last entity. So every entity of a window meets the same pool,
and scoring followed by learning gives the same bits as both in one call.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from models.attribution import contributions_of, distance_of
from models.calibration import FADE as SCORE_FADE
from models.calibration import HOLD, count_score, empirical, false_alarm_rate, refresh_tail
from models.frontend import COLD, LOG, UNKNOWN, learned, moved_step, own_scale, season_gain, transformed
from models.marginals import FADE as MARGINAL_FADE
from models.marginals import count_residual, gaussian_score, refresh_marginal
from models.score import MEMORY, Q_CLIP, REFRESH, fold_covariance, inverse_ridged
from models.state import CLOCK_ROWS, CLOCK_T, CLOCK_WINDOWS, NEVER, Entities, Floats, Ints, Pool

MISFITS: Final = 5  # negative values that prove a logarithm wrong: one or two may be bad data
ADOPT: Final = 60  # held windows after which the new level is adopted
WARM: Final = 30  # values of a feature before its residuals shape the pool
ADOPTED_COUNT: Final = 6  # history an adopted level starts with: it settles within a dozen windows
LARGEST_Z: Final = 1e6
BOTH, HIGH, LOW = range(3)  # sides


class Outputs(NamedTuple):
    """What one window's scoring writes; E entities, F features."""

    score: Floats  # [E]
    rarity: Floats  # [E]
    rate: Floats  # [E]
    drift: NDArray[np.bool_]  # [E]
    contributions: Floats  # [E, F]
    low: Floats  # [E, F] expected range in transformed units, NaN while unknown
    high: Floats  # [E, F]


class Scratch(NamedTuple):
    """Work space of one window; part of no state."""

    m: Floats  # [F]
    sided: Floats  # [F] m with the sides nobody asked for set to 0
    q: Floats  # [F]
    sided_q: Floats  # [F]
    z: Floats  # [F]
    scale: Floats  # [F]
    y: Floats  # [F]
    parts: Floats  # [F]
    slow: Floats  # [F]
    gain: Floats  # [K]
    moment: Floats  # [G, F, F]
    moment_q: Floats  # [G, F, F]
    weight: Floats  # [G, 2]: weight, rows


def new_scratch(groups: int, features: int, terms: int) -> Scratch:
    """Work space for windows of this shape."""
    arrays: list[Any] = [
        *(np.zeros(features) for _ in range(9)),
        np.zeros(terms),
        *(np.zeros((groups, features, features)) for _ in range(2)),
        np.zeros((groups, 2)),
    ]
    return Scratch(*arrays)


def new_outputs(entities: int, features: int, windows: int | None = None) -> Outputs:
    """Zeroed outputs of one window, or of a block of windows."""
    lead = (entities,) if windows is None else (windows, entities)
    return Outputs(
        np.zeros(lead), np.zeros(lead), np.ones(lead), np.zeros(lead, np.bool_),
        np.zeros((*lead, features)), np.full((*lead, features), np.nan), np.full((*lead, features), np.nan),
    )  # fmt: skip


def outputs_at(out: Outputs, where: int | slice) -> Outputs:
    """A view of one window, or of some windows, of a block's outputs."""
    arrays: list[Any] = [array[where] for array in out]
    return Outputs(*arrays)


@nb.njit(cache=True, error_model="numpy")
def process_window(
    x: Floats, t: int, slots: Ints, groups: Ints, codes: Ints, floors: Floats, sides: Ints, season: int, phi: Floats,
    ent: Entities, pool: Pool, work: Scratch, out: Outputs, score: bool, learn: bool,
) -> None:  # fmt: skip
    """Score and/or learn one window: x [E, F] raw values, slots [E] (-1 unknown), groups [E]."""
    # An array taken out of a tuple inside the loop costs a reference count each time: five times the whole arithmetic.
    last, held, drifts, count, level, log_scale = ent.last, ent.held, ent.drifts, ent.counts, ent.level, ent.log_scale
    step, previous, surprise, ewma, w, v = ent.step, ent.previous, ent.surprise, ent.q, ent.w, ent.v
    borrow_level, between, borrow_scale, borrow_step = pool.level, pool.between, pool.scale, pool.step
    borrow_w, borrow_v, histogram, table, quantiles = pool.w, pool.v, pool.histogram, pool.table, pool.quantiles
    covariance, covariance_q, precision, precision_q = pool.covariance, pool.covariance_q, pool.precision, pool.precision_q
    misfits = pool.misfits
    scores, seen, tail, clock, at_or_above = pool.scores, pool.seen, pool.tail, pool.clock, pool.at_or_above
    m, sided, q, sided_q, z, scale, y, parts = work.m, work.sided, work.q, work.sided_q, work.z, work.scale, work.y, work.parts
    slow, gain, moment, moment_q, weight = work.slow, work.gain, work.moment, work.moment_q, work.weight
    phi_mean = pool.phi_mean
    out_score, out_rarity, out_rate, out_drift = out.score, out.rarity, out.rate, out.drift
    out_parts, out_low, out_high = out.contributions, out.low, out.high

    features = x.shape[1]
    terms = phi.shape[0]
    if learn:
        moment[:] = 0.0
        moment_q[:] = 0.0
        weight[:] = 0.0
        if t != clock[CLOCK_T]:
            season_gain(pool.p, phi, phi_mean, season, gain)
    follow = 0.0
    for k in range(terms):
        follow += gain[k] * phi_mean[k]
    for e in range(x.shape[0]):
        slot, g = slots[e], groups[e]
        gap = 1 if slot < 0 or last[slot] == NEVER else t - last[slot]
        fade = MEMORY if gap == 1 else MEMORY ** float(min(gap, 1000))
        present = 0
        warm = slot >= 0
        for f in range(features):
            before = fade * ewma[slot, f] if slot >= 0 else 0.0
            value = x[e, f]
            if np.isnan(value):
                y[f] = np.nan
                m[f] = 0.0
                sided[f] = 0.0
                q[f] = before
                sided_q[f] = 0.0
                z[f] = 0.0
                scale[f] = 0.0
                continue
            present += 1
            y[f] = transformed(value, codes[f], floors[f])
            n = 0 if slot < 0 else count[slot, f]
            if n < WARM:
                warm = False
            # Where the value is expected, before it is seen.
            location, spread = 0.0, 0.0
            if n > 0:
                location = level[slot, f]
                log_spread = log_scale[slot, f]
                for k in range(terms):
                    location += w[slot, f, k] * phi[k]
                    log_spread += v[slot, f, k] * phi[k]
                if n >= COLD or borrow_scale[g, f] > 0.0:
                    spread = own_scale(log_spread, n, step[slot, f])
            elif borrow_scale[g, f] > 0.0:
                log_spread = 0.0
                location = borrow_level[g, f]
                for k in range(terms):
                    location += borrow_scale[g, f] * borrow_w[g, f, k] * phi[k]
                    log_spread += borrow_v[g, f, k] * phi[k]
                spread = math.sqrt((borrow_scale[g, f] * math.exp(log_spread)) ** 2 + between[g, f])
            scale[f] = spread
            z[f] = 0.0
            value_m = 0.0
            if spread > 0.0:
                z[f] = min(max((y[f] - location) / spread, -LARGEST_Z), LARGEST_Z)
                value_m = gaussian_score(table, g, f, z[f])
                if score:
                    out_low[e, f] = location + quantiles[g, f, 0] * spread
                    out_high[e, f] = location + quantiles[g, f, 1] * spread
            elif n > WARM and abs(y[f] - location) > 1e-9 * abs(location):
                # Constant until now: as far out as can be said.
                value_m = gaussian_score(table, g, f, LARGEST_Z if y[f] > location else -LARGEST_Z)
            m[f] = value_m
            q[f] = before + (1.0 - MEMORY) * min(max(value_m, -Q_CLIP), Q_CLIP)
            side = sides[f]
            sided[f] = 0.0 if (side == HIGH and value_m < 0.0) or (side == LOW and value_m > 0.0) else value_m
            sided_q[f] = 0.0 if (side == HIGH and q[f] < 0.0) or (side == LOW and q[f] > 0.0) else q[f]
        total = contributions_of(sided, sided_q, precision, precision_q, g, slow, parts)
        rejected = total > tail[HOLD]
        adopt = rejected and slot >= 0 and held[slot] + 1 >= ADOPT
        if score:
            out_score[e] = total
            for f in range(features):
                out_parts[e, f] = parts[f]
            out_rarity[e] = 1.0 - empirical(at_or_above, 1, total)
            out_rate[e] = false_alarm_rate(tail, at_or_above, total)
            out_drift[e] = adopt
        if not learn or present == 0:
            continue

        last[slot] = t
        held[slot] = 0 if adopt else held[slot] + 1 if rejected else max(held[slot] - 2, 0)
        if adopt:
            drifts[slot] += 1
        for f in range(features):
            if not np.isnan(y[f]):
                if codes[f] == LOG and x[e, f] < 0.0:
                    misfits[f] += 1
                if adopt and abs(q[f]) > 1.0:
                    count[slot, f] = min(count[slot, f], ADOPTED_COUNT)
                if warm and scale[f] > 0.0:
                    count_residual(histogram, g, f, z[f])
                if count[slot, f] == 0 and borrow_scale[g, f] > 0.0:
                    # Borrowed from the group: the first value moves the level as far as the entities differ from one another.
                    own = borrow_scale[g, f]
                    seasonal = 0.0
                    for k in range(terms):
                        w[slot, f, k] = own * borrow_w[g, f, k]
                        v[slot, f, k] = borrow_v[g, f, k]
                        seasonal += w[slot, f, k] * phi[k]
                    share = between[g, f] / (between[g, f] + own * own)
                    level[slot, f] = borrow_level[g, f] + share * (y[f] - seasonal - borrow_level[g, f])
                    log_scale[slot, f] = math.log(own)
                    if terms > 0:
                        w[slot, f, 0], v[slot, f, 0] = level[slot, f], log_scale[slot, f]
                        level[slot, f], log_scale[slot, f] = 0.0, 0.0
                    step[slot, f] = borrow_step[g, f]
                    previous[slot, f] = y[f]
                    count[slot, f] = 1
                else:
                    size = step[slot, f]
                    if count[slot, f] > 0:
                        size = moved_step(size, abs(y[f] - previous[slot, f]), y[f])
                    n, lv, ls, lately, mean, log_mean, season_error, scale_error = learned(
                        count[slot, f], y[f], z[f], scale[f], ewma[slot, f], rejected and not adopt, follow, terms > 0,
                        level[slot, f], log_scale[slot, f], size, surprise[slot, f],
                        w[slot, f, 0] if terms > 0 else 0.0, v[slot, f, 0] if terms > 0 else 0.0,
                    )  # fmt: skip
                    count[slot, f], level[slot, f], log_scale[slot, f] = n, lv, ls
                    step[slot, f], surprise[slot, f], previous[slot, f] = size, lately, y[f]
                    if terms > 0:
                        if n == 1:
                            for k in range(terms):
                                w[slot, f, k], v[slot, f, k] = 0.0, 0.0
                        w[slot, f, 0], v[slot, f, 0] = mean, log_mean
                        for k in range(terms):
                            w[slot, f, k] += gain[k] * season_error
                            v[slot, f, k] += gain[k] * scale_error
            ewma[slot, f] = q[f]
        if not warm:
            continue
        count_score(scores, seen, total)
        clock[CLOCK_ROWS] += 1
        # Rows far out count the less: beyond twice the mean distance a row has the pull of one at twice the mean.
        trust = min(1.0, 2.0 * features / max(distance_of(m, precision, g, slow), 1e-9))
        weight[g, 0] += trust
        weight[g, 1] += 1.0
        for i in range(features):
            if present == features:
                a, b = trust * m[i], trust * q[i]
                for j in range(features):
                    moment[g, i, j] += a * m[j]
                    moment_q[g, i, j] += b * q[j]
            else:
                for j in range(features):
                    if np.isnan(y[i]) or np.isnan(y[j]):
                        moment[g, i, j] += trust * covariance[g, i, j]
                        moment_q[g, i, j] += trust * covariance_q[g, i, j]
                    else:
                        moment[g, i, j] += trust * m[i] * m[j]
                        moment_q[g, i, j] += trust * q[i] * q[j]
    if learn:
        _learn_pool(t, ent, pool, work)


@nb.njit(cache=True, error_model="numpy")
def _learn_pool(t: int, ent: Entities, pool: Pool, work: Scratch) -> None:
    groups, features = pool.level.shape
    pool.clock[CLOCK_T] = t
    pool.clock[CLOCK_WINDOWS] += 1
    for g in range(groups):
        fold_covariance(pool, g, work.moment[g], work.moment_q[g], work.weight[g, 0], work.weight[g, 1])
    windows = pool.clock[CLOCK_WINDOWS]
    if windows % REFRESH != 0:
        return
    for g in range(groups):
        if pool.weight[g] > 0.0:
            inverse_ridged(pool.covariance[g], pool.precision[g])
            inverse_ridged(pool.covariance_q[g], pool.precision_q[g])
    # Distributions move slowly: their refresh may wait, longer and longer.
    wait = REFRESH * (1 if windows < 400 else 5 if windows < 2000 else 10 if windows < 10_000 else 25)
    if windows % wait != 0:
        return
    pool.scores[:] *= SCORE_FADE**wait
    refresh_tail(pool)
    pool.histogram[:] *= MARGINAL_FADE**wait
    for g in range(groups):
        for f in range(features):
            refresh_marginal(pool.histogram[g, f], pool.table[g, f], pool.quantiles[g, f])
    refresh_borrowed(ent, pool)


@nb.njit(cache=True, error_model="numpy")
def refresh_borrowed(ent: Entities, pool: Pool) -> None:
    """What a new entity of each group borrows: mean level, spread of levels, scale, step and season of the warm entities."""
    groups, features = pool.level.shape
    terms = pool.p.shape[0]
    for g in range(groups):
        for f in range(features):
            count, mean, square, log_mean, log_step = 0, 0.0, 0.0, 0.0, 0.0
            pool.w[g, f] = 0.0
            pool.v[g, f] = 0.0
            for slot in range(ent.level.shape[0]):
                if ent.group[slot] != g or ent.counts[slot, f] < WARM:
                    continue
                centre, log_scale = ent.level[slot, f], ent.log_scale[slot, f]
                if terms > 0:
                    centre += ent.w[slot, f, 0]
                    log_scale += ent.v[slot, f, 0]
                if log_scale < UNKNOWN:
                    continue
                count += 1
                error = centre - mean
                mean += error / count
                square += error * (centre - mean)
                log_mean += log_scale
                log_step += math.log(max(ent.step[slot, f], 1e-300))
                scale = math.exp(log_scale)
                for i in range(1, terms):
                    pool.w[g, f, i] += ent.w[slot, f, i] / scale
                    pool.v[g, f, i] += ent.v[slot, f, i]
            if count == 0:
                continue
            pool.level[g, f] = mean
            pool.scale[g, f] = math.exp(log_mean / count)
            # One entity says nothing about how they differ: allow ten times its own spread.
            pool.between[g, f] = square / (count - 1) if count > 2 else 100.0 * pool.scale[g, f] ** 2
            pool.step[g, f] = math.exp(log_step / count)
            for i in range(1, terms):
                pool.w[g, f, i] /= count
                pool.v[g, f, i] /= count


@nb.njit(cache=True, error_model="numpy")
def process_block(
    x: Floats, t: Ints, slots: Ints, groups: Ints, codes: Ints, floors: Floats, sides: Ints, season: int, phi: Floats,
    ent: Entities, pool: Pool, work: Scratch, out: Outputs,
) -> int:  # fmt: skip
    """Score and learn windows in turn: x [W, E, F], t [W], phi [W, K]; the same bits as `process_window` one by one.

    Returns the windows done: fewer than W when one proved a feature's logarithm wrong.
    """
    for i in range(x.shape[0]):
        one = Outputs(out.score[i], out.rarity[i], out.rate[i], out.drift[i], out.contributions[i], out.low[i], out.high[i])
        process_window(x[i], t[i], slots, groups, codes, floors, sides, season, phi[i], ent, pool, work, one, True, True)
        if pool.misfits.max() >= MISFITS:
            return i + 1
    return int(x.shape[0])
