"""A folder of the Numenta Anomaly Benchmark, through the detector with its settings frozen, and what that is worth.

Nothing is set for a series: the detector gets the value, its mean over the last hour or so and its spread over the last two
(`FEATURES`), and learns the day where the timestamps have one. A row's anomaly score is the order of magnitude of its
false-alarm rate, and 0 unless it is the highest of the last `QUIET_ROWS`: an alarm that stays on is one detection. A value far
outside all that was seen is a detection whatever its distribution (`BEYOND`).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from models import StreamDetector
from models.nab import PROFILES, Result, Series, score

Floats = npt.NDArray[np.float64]

FEATURES: Final = ("value", "mean", "spread")
MEAN_ROWS: Final = 12
SPREAD_ROWS: Final = 24
QUIET_ROWS: Final = 100
BEYOND: Final = 0.1
"""Part of the range seen so far by which a value must leave it."""
_WARM_UP: Final = 30
_LEAST_SEASON: Final = 8
"""Rows of a day from which on there is a day to learn."""
_ORDERS: Final = 10.0
"""Orders of magnitude of a rate that make a score of 1."""
_OUT_OF_RANGE: Final = 0.6


class NabError(ValueError):
    """A folder that cannot be used: which file, what, and what to do."""


class Corpus(NamedTuple):
    """All series of a folder by their name: times (UTC seconds) and values [N], and labelled windows in rows."""

    times: dict[str, Floats]
    values: dict[str, Floats]
    windows: dict[str, tuple[tuple[int, int], ...]]
    texts: dict[str, list[str]]
    """The timestamps as they stand in the files."""


def read(folder: Path) -> Corpus:
    """All series that `labels/combined_windows.json` names and `data/` holds, plain or gzip. Raises NabError."""
    labels = folder / "labels" / "combined_windows.json"
    try:
        named = json.loads(labels.read_text())
    except OSError as error:
        raise NabError(f"{labels}: {error.strerror}: give a folder with data/ and labels/, as the benchmark has it") from error
    except ValueError as error:
        raise NabError(f"{labels}: {error}: it is no JSON") from error
    corpus = Corpus({}, {}, {}, {})
    for name, spans in sorted(named.items()):
        path = next((p for p in (folder / "data" / name, folder / "data" / f"{name}.gz") if p.exists()), None)
        if path is None:
            continue
        texts, times, values = _series(path)
        corpus.texts[name], corpus.times[name], corpus.values[name] = texts, times, values
        bounds = [[_seconds(text, labels) for text in span] for span in spans]
        corpus.windows[name] = tuple(
            (int(np.searchsorted(times, a)), int(np.searchsorted(times, b, side="right")) - 1) for a, b in bounds
        )
    if not corpus.times:
        raise NabError(f"{folder}: no series that {labels} names is in its data/: give the benchmark's folder")
    return corpus


def _series(path: Path) -> tuple[list[str], Floats, Floats]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise NabError(f"{path}: {error}: it cannot be read") from error
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or not {"timestamp", "value"} <= rows[0].keys():
        raise NabError(f"{path}: it has no columns timestamp and value, or no row")
    texts, times, values = [], np.empty(len(rows)), np.empty(len(rows))
    for n, row in enumerate(rows):
        try:
            texts.append(row["timestamp"])
            times[n], values[n] = _seconds(row["timestamp"], path), float(row["value"])
        except (TypeError, ValueError):
            raise NabError(f"{path}: line {n + 2}: {row!r} is no time and number") from None
    if np.any(np.diff(times) < 0):
        raise NabError(f"{path}: line {int(np.argmax(np.diff(times) < 0)) + 3}: the time goes back: sort the rows")
    return texts, times, values


def _seconds(text: str, path: Path) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise NabError(f"{path}: {text!r} is no time such as 2014-04-10 07:15:00") from None


def anomaly_scores(times: Floats, values: Floats) -> Floats:
    """The anomaly score [N], 0 to 1, of each row of a series, from what was before it."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    day = round(86_400.0 / step) if step > 0.0 else 0
    detector = StreamDetector(features=FEATURES, season=day if day >= _LEAST_SEASON and len(values) > 3 * day else None)
    found = detector.score_learn_block(features(values)[:, None], np.arange(len(values)))
    raw = np.minimum(-np.log10(np.maximum(found.false_alarm_rate[:, 0], 1e-30)) / _ORDERS, 1.0)
    seen_high, seen_low = np.maximum.accumulate(values), np.minimum.accumulate(values)
    high, low = np.append(values[:1], seen_high[:-1]), np.append(values[:1], seen_low[:-1])
    beyond = np.maximum(values - high, low - values) / np.where(high > low, high - low, np.inf)
    outside = (beyond > BEYOND) & (np.arange(len(values)) >= _WARM_UP)
    raw = np.where(outside, np.maximum(raw, np.minimum(_OUT_OF_RANGE + beyond, 1.0)), raw)
    before = np.array([raw[max(0, i - QUIET_ROWS) : i].max(initial=0.0) for i in range(len(raw))])
    return np.where(raw > before, raw, 0.0)


def features(values: Floats) -> Floats:
    """`FEATURES` [N, 3] of a series [N]."""
    mean = [values[max(0, i - MEAN_ROWS + 1) : i + 1].mean() for i in range(len(values))]
    spread = [values[max(0, i - SPREAD_ROWS + 1) : i + 1].std() for i in range(len(values))]
    return np.column_stack([values, mean, spread])


def evaluate(corpus: Corpus) -> tuple[dict[str, Floats], dict[str, Result]]:
    """(scores by series, result by profile). Raises ValueError if no window counts."""
    scores = {name: anomaly_scores(corpus.times[name], corpus.values[name]) for name in corpus.times}
    series = [Series(scores[name], corpus.windows[name]) for name in scores]
    return scores, {name: score(series, profile) for name, profile in PROFILES.items()}


def write(corpus: Corpus, scores: dict[str, Floats], folder: Path) -> None:
    """Result files as the benchmark reads them: results of detector `perpwatch`, one file a series. Raises OSError."""
    for name, found in scores.items():
        category, _, file = name.rpartition("/")
        path = folder / "results" / "perpwatch" / category / f"perpwatch_{file}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(("timestamp", "value", "anomaly_score", "label"))
            windows = corpus.windows[name]
            for i, text in enumerate(corpus.texts[name]):
                label = int(any(a <= i <= b for a, b in windows))
                writer.writerow((text, f"{corpus.values[name][i]:.12g}", f"{found[i]:.6f}", label))
