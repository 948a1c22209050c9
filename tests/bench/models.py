"""What the detector finds, how fast, and what the oracle and river's detectors make of the same rows.

    python -m tests.bench.models [--seeds 5] [--first 100]

Prints average precision, ROC-AUC, average precision by kind and the share of events whose first contribution is right at their
highest row, for fresh seeds of the synthetic stream (`models.evaluation`; the first 2,000 rows are not counted); the realised
over the stated false-alarm rate on ordinary rows; rows a second; and the time and size of 10,000 entities.
"""

from __future__ import annotations

import argparse
import pickle
import resource
import time

import numpy as np
from river import anomaly, preprocessing
from sklearn.metrics import average_precision_score, roc_auc_score

from models import StreamDetector
from models.evaluation import KINDS, Stream, oracle, synthetic_stream

FIRST = 2000
RATES = (1e-2, 1e-3, 1e-4)


def quality(stream: Stream, score: np.ndarray, contributions: np.ndarray | None) -> list[float]:
    """AP, AUC, AP of each kind against ordinary rows, share of events named right at their highest row."""
    kind, values = stream.kind[FIRST:], score[FIRST:]
    out = [average_precision_score(kind > 0, values), roc_auc_score(kind > 0, values)]
    for code in range(1, len(KINDS)):
        chosen = (kind == 0) | (kind == code)
        out.append(average_precision_score(kind[chosen] == code, values[chosen]))
    named = []
    for event in stream.events:
        if contributions is not None and event.start >= FIRST:
            top = event.start + int(np.argmax(score[event.start : event.stop]))
            named.append(int(contributions[top].argmax()) in event.features)
    return [*out, float(np.mean(named)) if named else float("nan")]


def river_scores(model: object, stream: Stream) -> tuple[np.ndarray, float]:
    """(scores [N], rows a second) of a river detector, score then learn."""
    rows = [dict(enumerate(map(float, row))) for row in stream.x]
    out = np.empty(len(rows))
    start = time.perf_counter()
    for i, row in enumerate(rows):
        out[i] = model.score_one(row)
        model.learn_one(row)
    return out, len(rows) / (time.perf_counter() - start)


class Widest:
    """river's GaussianScorer on each feature, the largest of them."""

    def __init__(self) -> None:
        self.scorers: dict[int, anomaly.GaussianScorer] = {}

    def score_one(self, x: dict[int, float]) -> float:
        return max((self.scorers[k].score_one(None, v) for k, v in x.items() if k in self.scorers), default=0.0)

    def learn_one(self, x: dict[int, float]) -> None:
        for k, v in x.items():
            self.scorers.setdefault(k, anomaly.GaussianScorer()).learn_one(None, v)


def many_entities(entities: int, season: int | None, trees: float) -> None:
    """Time of the fused call on `entities` x 12 features, what they occupy, and how many times as many rows a second it does as
    river's HalfSpaceTrees did in this run, one row at a time (`trees` rows a second). river has no LODA."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, entities, 12))
    x[..., :4] = np.exp(x[..., :4])
    detector = StreamDetector(season=season)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for t in range(300):
        start = time.perf_counter()
        detector.score_learn_many(x[t % 5], t)
        times.append(1e3 * (time.perf_counter() - start))
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    size = len(pickle.dumps(detector)) / 1e6
    median, late = np.quantile(times[100:], [0.5, 0.99])
    ratio = entities / (median / 1e3) / trees
    print(
        f"{entities:,} x 12, season {season}: median {median:.1f} ms, p99 {late:.1f} ms, {ratio:.0f} times HalfSpaceTrees, "
        f"checkpoint {size:.1f} MB, {memory:.0f} MB more memory"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=100, help="first seed")
    options = parser.parse_args()
    StreamDetector(season=50).score_learn_block(np.random.default_rng(0).normal(size=(300, 1, 2)), np.arange(300))  # compile

    table: dict[str, list[list[float]]] = {}
    speed: dict[str, list[float]] = {}
    realised, ordinary_rows = np.zeros(len(RATES)), 0
    for seed in range(options.first, options.first + options.seeds):
        stream = synthetic_stream(seed)
        table.setdefault("oracle", []).append(quality(stream, *oracle(stream)))
        for name, season in (("StreamDetector", stream.season), ("StreamDetector, season unknown", None)):
            detector = StreamDetector(season=season)
            start = time.perf_counter()
            scores = detector.score_learn_block(stream.x[:, None], np.arange(len(stream.x)))
            speed.setdefault(name, []).append(len(stream.x) / (time.perf_counter() - start))
            table.setdefault(name, []).append(quality(stream, scores.score[:, 0], scores.contributions[:, 0]))
            if season is not None:
                ordinary = stream.kind == 0
                ordinary[:FIRST] = False
                for event in stream.events:
                    ordinary[event.stop : event.stop + 8] = False  # the EWMA still carries the event
                rates = scores.false_alarm_rate[ordinary, 0]
                realised += [(rates <= rate).sum() for rate in RATES]
                ordinary_rows += int(ordinary.sum())
        rivals = {
            "river GaussianScorer, max": Widest(),
            "river HalfSpaceTrees, MinMaxScaler": preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1),
        }
        for name, model in rivals.items():
            score, rows = river_scores(model, stream)
            speed.setdefault(name, []).append(rows)
            table.setdefault(name, []).append(quality(stream, score, None))

    print(f"{options.seeds} seeds from {options.first}")
    print(f"{'':36}{'AP':>7}{'AUC':>7}" + "".join(f"{kind:>8}" for kind in KINDS[1:]) + f"{'named':>8}{'rows/s':>10}")
    for name, rows_of in table.items():
        values = np.mean(rows_of, axis=0)
        rate = f"{np.mean(speed[name]):10,.0f}" if name in speed else ""
        print(f"{name:36}{values[0]:7.3f}{values[1]:7.3f}" + "".join(f"{value:8.3f}" for value in values[2:]) + rate)
    best = np.mean(table["oracle"], axis=0)
    got = np.mean(table["StreamDetector"], axis=0)
    print(f"average precision {got[0] / best[0]:.3f} of the oracle's, correlation breaks {got[3] / best[3]:.3f}")
    told = ", ".join(f"{hits / ordinary_rows / rate:.2f} at {rate:g}" for hits, rate in zip(realised, RATES, strict=True))
    print(f"realised over stated false-alarm rate on {ordinary_rows:,} ordinary rows: {told}")
    trees = float(np.mean(speed["river HalfSpaceTrees, MinMaxScaler"]))
    for entities in (10_000, 100_000):
        for season in (None, 1440):
            many_entities(entities, season, trees)


if __name__ == "__main__":
    main()
