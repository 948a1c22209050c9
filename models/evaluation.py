"""A labelled synthetic stream whose truth is known, and the oracle that scores it with that truth.

The stream is the one the detectors are measured on: a few latent factors with autoregressive noise and Student tails, a daily
season in location and scale, one scale jump, slow drifts, a weakening correlation, log-normal features, units over six decades
and about 1% anomalies of four kinds. Everything that can vary is drawn from the seed, so that a detector cannot be tuned to
one layout. The oracle is the detector's own score (see `models.score`) computed from the true standardised stream and its true
covariance: what is left between a detector and the oracle is what the detector had to learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

KINDS: Final = ("normal", "spike", "break", "burst", "ramp")
# The multivariate EWMA of the score: q <- MEMORY q + (1 - MEMORY) clip(m, CLIP).
_MEMORY, _CLIP, _CAP, _RIDGE = 0.6, 4.5, 20.0, 0.03


@dataclass(frozen=True)
class Event:
    """One injected anomaly: rows `start` to `stop` (exclusive), the features moved, and its kind (an index of `KINDS`)."""

    start: int
    stop: int
    features: tuple[int, ...]
    kind: int


@dataclass(frozen=True)
class Stream:
    """A synthetic stream of N rows and F features with its truth.

    `x` [N, F] is what a detector sees, in the features' own units; `kind` [N] holds an index of `KINDS` a row;
    `truth` [N, F] is the true standardised stream (anomalies included, zero mean and unit variance without them);
    `location` and `log_scale` [N, F] are what turned it into the stream, before exponentials and units;
    `loadings` [N, F, L] and the two AR coefficients give its true covariance at each row; `season` is in rows.
    """

    x: Floats
    kind: NDArray[np.int64]
    events: tuple[Event, ...]
    truth: Floats
    location: Floats
    log_scale: Floats
    loadings: Floats
    factor_ar: Floats
    noise_ar: Floats
    degrees: Floats
    season: int
    log_normal: tuple[int, ...]


def _student(rng: np.random.Generator, degrees: float, size: int) -> Floats:
    """Student noise of unit variance."""
    noise: Floats = rng.standard_t(degrees, size) * np.sqrt((degrees - 2.0) / degrees)
    return noise


def _autoregressive(innovations: Floats, ar: float) -> Floats:
    """A stationary AR(1) of unit variance from unit-variance innovations."""
    out = np.empty_like(innovations)
    out[0] = innovations[0]
    gain = np.sqrt(1.0 - ar * ar)
    for i in range(1, len(out)):
        out[i] = ar * out[i - 1] + gain * innovations[i]
    return out


def _free_span(rng: np.random.Generator, taken: NDArray[np.bool_], length: int, first: int) -> int:
    """The start of a span of `length` rows that keeps 10 rows' distance to every other anomaly."""
    while True:
        start = int(rng.integers(first, len(taken) - length - 10))
        if not taken[start - 10 : start + length + 10].any():
            taken[start : start + length] = True
            return start


def synthetic_stream(
    seed: int,
    rows: int = 20_000,
    features: int = 12,
    factors: int = 3,
    season: int | None = None,
    contamination: float = 0.01,
    log_normal: int | None = None,
) -> Stream:
    """Draw a labelled stream. `season` (rows) is drawn from 400 to 2,000 when None; `log_normal` is how many exponentials.

    Anomalies: spikes (1 row, 1 feature, 6 to 11 sd), correlation breaks (1 to 3 rows, half the features replaced by values of
    ordinary size that contradict the rest), bursts (5 to 20 rows, 3 to 5 features, 2 to 3 sd), ramps (20 to 40 rows, 1 to 3
    features, up to 4 to 5 sd). The first tenth of the rows has none.
    """
    rng = np.random.default_rng(seed)
    period = int(rng.integers(400, 2001)) if season is None else season
    time = np.arange(rows) / max(rows - 1, 1)
    degrees = np.where(rng.random(features) < 0.5, 7.0, 9.0)

    # Factors: unit-variance loadings whose share of the variance weakens along the stream for half of the features.
    factor_ar = rng.uniform(0.3, 0.8, factors)
    noise_ar = rng.uniform(0.0, 0.5, features)
    direction = rng.normal(size=(features, factors))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    share = rng.uniform(0.7, 0.95, features)
    weakening = np.where(rng.random(features) < 0.5, rng.uniform(0.1, 0.3, features), 0.0)
    loadings = direction[None] * np.sqrt(share * (1.0 - weakening * time[:, None]))[:, :, None]
    latent = np.stack([_autoregressive(_student(rng, 7.0, rows), a) for a in factor_ar], axis=1)
    noise = np.stack([_autoregressive(_student(rng, d, rows), a) for d, a in zip(degrees, noise_ar, strict=True)], axis=1)
    own = np.sqrt(1.0 - np.einsum("nfl,nfl->nf", loadings, loadings))
    truth = np.einsum("nfl,nl->nf", loadings, latent) + own * noise

    kind, events = _inject(rng, truth, loadings, contamination)

    # Season, drift and the scale jump turn the standardised stream into location and scale; exponentials and units come last.
    angle = 2.0 * np.pi * np.arange(rows)[:, None] / period
    phase, phase2, phase3 = rng.uniform(0.0, 2.0 * np.pi, (3, features))
    location = rng.uniform(0.5, 2.0, features) * np.sin(angle + phase)
    location = location + rng.uniform(0.0, 0.6, features) * np.sin(2.0 * angle + phase2)
    log_scale = rng.uniform(0.1, 0.4, features) * np.sin(angle + phase3)
    wander = np.cumsum(rng.normal(size=(rows, features)), axis=0) * (rng.uniform(0.0, 1.5, features) / np.sqrt(rows))
    location = location + wander + rng.uniform(-2.0, 2.0, features) * time[:, None]
    jump_row = int(rng.uniform(0.3, 0.8) * rows)
    jumped = rng.choice(features, max(1, features // 6), replace=False)
    log_scale[jump_row:, jumped] += np.log(rng.uniform(1.5, 2.2, len(jumped)))
    plain = location + np.exp(log_scale) * truth
    exponentials = np.sort(rng.choice(features, features // 3 if log_normal is None else log_normal, replace=False))
    plain[:, exponentials] = np.exp(rng.uniform(0.5, 1.0, len(exponentials)) * plain[:, exponentials])
    units = 10.0 ** rng.uniform(-2.0, 4.0, features)
    level = np.where(np.isin(np.arange(features), exponentials), 0.0, rng.uniform(-10.0, 10.0, features))
    return Stream(
        (plain + level) * units, kind, tuple(events), truth, location, log_scale, loadings, factor_ar, noise_ar, degrees,
        period, tuple(int(i) for i in exponentials),
    )  # fmt: skip


def _inject(
    rng: np.random.Generator, truth: Floats, loadings: Floats, contamination: float
) -> tuple[NDArray[np.int64], list[Event]]:
    """Add anomalies to `truth` in place until `contamination` of the rows is spent, a quarter of the spikes' rows at a time."""
    rows, features = truth.shape
    kind = np.zeros(rows, np.int64)
    taken = np.zeros(rows, np.bool_)
    events: list[Event] = []
    # Rows of each kind: spikes and breaks are short, so that bursts and ramps hold most of the anomalous rows.
    for code, part in ((1, 0.15), (2, 0.15), (3, 0.35), (4, 0.35)):
        budget = contamination * rows * part
        while budget > 0.5:
            length = (1, int(rng.integers(1, 4)), int(rng.integers(5, 21)), int(rng.integers(20, 41)))[code - 1]
            start = _free_span(rng, taken, length, max(rows // 10, 20))
            span = slice(start, start + length)
            if code == 1:
                chosen = rng.choice(features, 1)
                truth[span, chosen] += rng.uniform(6.0, 11.0) * rng.choice([-1.0, 1.0])
            elif code == 2:
                chosen = rng.choice(features, features // 2, replace=False)
                # Ordinary values of the right marginal that ignore the other features.
                other = rng.normal(size=(loadings.shape[2], length))
                direction = rng.normal(size=(len(chosen), loadings.shape[2]))
                direction /= np.linalg.norm(direction, axis=1, keepdims=True)
                truth[span, chosen] = np.clip((direction @ other).T, -2.5, 2.5)
            elif code == 3:
                chosen = rng.choice(features, int(rng.integers(3, min(5, features) + 1)), replace=False)
                truth[span, chosen] += rng.uniform(2.0, 3.0, len(chosen)) * rng.choice([-1.0, 1.0], len(chosen))
            else:
                chosen = rng.choice(features, int(rng.integers(1, 4)), replace=False)
                height = rng.uniform(4.0, 5.0, len(chosen)) * rng.choice([-1.0, 1.0], len(chosen))
                truth[span, chosen] += np.linspace(1.0 / length, 1.0, length)[:, None] * height
            kind[span] = code
            events.append(Event(start, start + length, tuple(int(c) for c in np.sort(chosen)), code))
            budget -= length
    events.sort(key=lambda event: event.start)
    return kind, events


def oracle(stream: Stream) -> tuple[Floats, Floats]:
    """The design's own score from the truth: (score [N], contributions [N, F]).

    m is the mean of the true standardised value and its Gaussian score under the true Student law, capped at 20; the two
    precision matrices are those of the true covariance at each row (of m, and of the EWMA q, whose covariance follows from the
    autoregressions), with the design's ridge.
    """
    truth = stream.truth
    rows, features = truth.shape
    spread = np.sqrt(stream.degrees / (stream.degrees - 2.0))
    tail = stats.t.logsf(np.abs(truth) * spread, stream.degrees)
    gauss = np.sign(truth) * -stats.norm.ppf(np.exp(np.maximum(tail, -700.0)))
    m = np.clip((gauss + truth) / 2.0, -_CAP, _CAP)
    # Variance of an EWMA (weight 1 - MEMORY) of a unit AR(1).
    gain = 1.0 - _MEMORY

    def smoothed(ar: Floats) -> Floats:
        return np.asarray(gain / (2.0 - gain) * (1.0 + _MEMORY * ar) / (1.0 - _MEMORY * ar))

    score = np.empty(rows)
    contributions = np.empty((rows, features))
    q = np.zeros(features)
    eye = np.eye(features)
    step = 50  # the loadings move slowly: one inverse for fifty rows
    for first in range(0, rows, step):
        load = stream.loadings[first]
        own = 1.0 - np.einsum("fl,fl->f", load, load)
        now = np.linalg.inv(load @ load.T + np.diag(own) + _RIDGE * eye)
        cov_q = (load * smoothed(stream.factor_ar)) @ load.T + np.diag(own * smoothed(stream.noise_ar))
        slow = np.linalg.inv(cov_q + _RIDGE * np.diag(np.diag(cov_q)))
        for i in range(first, min(first + step, rows)):
            q = _MEMORY * q + gain * np.clip(m[i], -_CLIP, _CLIP)
            contributions[i] = m[i] * (now @ m[i]) + 0.5 * q * (slow @ q)
            score[i] = contributions[i].sum()
    return score, contributions
