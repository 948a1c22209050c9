"""Stylised facts, the simulated market beside recorded ones: `python -m tests.bench.facts [--minutes N] [--seed N]`.

Recordings are those of PERPWATCH_DATA; without it only the simulation is shown. The last column says whether the simulated
value lies within what the recordings show, widened by half of its span on both sides (by a factor of 1.5 where there is one).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from monitor.roles.kernels import use_cache

use_cache()

from engine.simulation import QUIET, SimulationConfig  # noqa: E402
from monitor.drills.facts import FACTS, Signs, facts  # noqa: E402
from monitor.metrics.windows import WindowEngine  # noqa: E402
from monitor.sources.detect import open_source, resolve_format  # noqa: E402

RECORDINGS = {
    "AMZN 2012": ["1_l3/lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"],
    "Bitstamp 2015": ["1_l3/bitstamp_2015-05-01/2015-05-01.00h-05h.log.gz"],
    "BTC, ETH 2024": [
        "2_perp_l2/binance_raw_hftbacktest/usdm_btcusdt_20240719.gz",
        "2_perp_l2/binance_raw_hftbacktest/usdm_ethusdt_20240719.gz",
    ],
    "BTC 2023": ["2_perp_l2/binance_raw_hftbacktest/usdm_btcusdt_20230405.dat.gz"],
}
"""Names, and files below PERPWATCH_DATA."""


def measured(source):
    """(values [W, S, M], signs of each symbol) of a whole source."""
    engine = WindowEngine(
        source.instruments, source.capabilities, source.capacity, source.accounts, source.step_ns, source.lateness_ns
    )
    signs = [Signs(k) for k in range(len(source.instruments))]
    blocks = []
    for batch in source.batches():
        for each in signs:
            each.push(batch)
        blocks.append(engine.push(batch))
    blocks.append(engine.finish())
    return np.concatenate([block.values for block in blocks if block is not None]), signs


def simulated(minutes, seed, folder):
    """The quiet market of a seed, the first minute left out."""
    from monitor.sources.venue import VenueSource

    start_ns = 1_767_225_600_000_000_000
    config = SimulationConfig(seed=seed, start_ns=start_ns, history_s=60 * minutes, scenario=QUIET)
    source = VenueSource(config, folder, 1, config.history_end_ns)
    values, signs = measured(source)
    return source.instruments, values[60:], signs


def within(value, known):
    """Whether a value lies in the recordings' range, widened; None where there is nothing to compare."""
    known = [each for each in known if np.isfinite(each)]
    if not known or not np.isfinite(value):
        return None
    low, high = min(known), max(known)
    wider = max(0.5 * (high - low), 0.5 * abs(high), 0.5 * abs(low)) if len(known) == 1 else 0.5 * (high - low)
    return low - wider <= value <= high + wider


def main():
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        instruments, values, signs = simulated(given.minutes, given.seed, Path(folder))
    chosen = [0, 1, len(instruments) - 1]
    columns = {instruments[k].symbol: facts(values, k, signs[k]) for k in chosen}
    recorded = {}
    data = os.environ.get("PERPWATCH_DATA")
    for name, files in RECORDINGS.items() if data else ():
        paths = [Path(data) / file for file in files]
        found, signs_of = measured(open_source(paths, resolve_format(paths, "auto")))
        recorded[name] = facts(found, 0, signs_of[0])
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("fact", *columns, *recorded, "within"):
        table.add_column(column, justify="left" if column == "fact" else "right")
    for fact in FACTS:
        known = [each[fact] for each in recorded.values()]
        verdicts = [within(each[fact], known) for each in columns.values()]
        said = "-" if None in verdicts else f"{sum(verdicts)} of {len(verdicts)}"
        cells = [each[fact] for each in (*columns.values(), *recorded.values())]
        table.add_row(fact, *(f"{cell:.3g}" if np.isfinite(cell) else "-" for cell in cells), said)
    Console(width=160).print(f"{given.minutes} simulated minutes, seed {given.seed}")
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
