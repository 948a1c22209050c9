"""Agents and venue on one core: `python -m tests.bench.market [--seconds N] [--runs N] [--day]`.

50 symbols and 10,000 accounts: orders (NEW, CANCEL and the like) a CPU-second, and the share of agents and venue in the time.
The eight symbols and 4,000 accounts of the demo: the same, and how long a day of them takes; --day runs all of it. Kernels are
compiled before.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from unittest import mock

import msgspec
import numpy as np

from monitor.roles.kernels import use_cache

use_cache()

from engine.contract import OpKind  # noqa: E402
from engine.instruments import load_pack  # noqa: E402
from engine.simulation import MARKETS, QUIET, Simulation, SimulationConfig, flow  # noqa: E402

START_NS = 1_767_225_600_000_000_000
SYMBOLS, ACCOUNTS = 50, 10_000
ORDERS = (OpKind.NEW, OpKind.CANCEL, OpKind.AMEND, OpKind.QUOTE)


def many():
    """The core pack with fifty instruments, and a market of each: copies of the eight under other names."""
    pack = load_pack("core")
    instruments, markets = [], []
    for n in range(SYMBOLS):
        market = MARKETS[n % len(MARKETS)]
        name = f"{market.symbol}.{n}"
        instruments.append(msgspec.structs.replace(pack.instrument(market.symbol), symbol=name))
        markets.append(msgspec.structs.replace(market, symbol=name))
    return msgspec.structs.replace(pack, instruments=tuple(instruments)), tuple(markets)


class Run:
    """A market that runs, and the CPU time of its parts."""

    def __init__(self, seed, markets=MARKETS, accounts=4000, pack=None):
        config = SimulationConfig(seed=seed, start_ns=START_NS, scenario=QUIET, markets=markets, accounts=accounts)
        with mock.patch.object(flow, "load_pack", lambda name: pack or load_pack(name)):
            self.simulation = Simulation(config)
        self.venue = self.simulation.new_venue()
        self.agents_s = self.venue_s = 0.0
        self.orders = 0
        self.go(60)
        self.agents_s = self.venue_s = 0.0
        self.orders = 0

    def go(self, seconds):
        """So many seconds of the market."""
        until_ns = self.simulation.next_ns + seconds * 1_000_000_000
        while self.simulation.next_ns < until_ns:
            start = time.process_time()
            ops = self.simulation.step(self.venue)
            between = time.process_time()
            events = self.venue.apply(ops)
            after = time.process_time()
            self.simulation.observe(events)
            self.agents_s += between - start + time.process_time() - after
            self.venue_s += after - between
            self.orders += int(np.isin(ops["kind"], ORDERS).sum())

    @property
    def rate(self):
        return self.orders / (self.agents_s + self.venue_s)

    def shares(self):
        both = self.agents_s + self.venue_s
        return f"agents {100 * self.agents_s / both:.0f} %, venue {100 * self.venue_s / both:.0f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--day", action="store_true")
    given = parser.parse_args()
    print(
        f"{platform.machine()}, Python {platform.python_version()}, one core, {given.runs} runs of {given.seconds} s of market"
    )
    pack, markets = many()
    for what, arguments in (
        (f"{SYMBOLS} symbols, {ACCOUNTS:,} accounts", (markets, ACCOUNTS, pack)),
        ("8 symbols, 4,000 accounts", ()),
    ):
        runs = []
        for seed in range(1, given.runs + 1):
            run = Run(seed, *arguments)
            run.go(given.seconds)
            runs.append(run)
        rate = statistics.median(run.rate for run in runs)
        cpu_s = statistics.median(run.agents_s + run.venue_s for run in runs)
        middle = sorted(runs, key=lambda run: run.rate)[len(runs) // 2]
        print(f"{what}: {rate:,.0f} orders a CPU-second, {middle.shares()}; {given.seconds / cpu_s:,.0f} times real time")
    print(f"a day of 8 symbols at that pace: {86_400 / given.seconds * cpu_s / 60:.1f} min")
    if given.day:
        start, run = time.perf_counter(), Run(1)
        run.go(86_400)
        print(f"a day of 8 symbols: {(time.perf_counter() - start) / 60:.1f} min, {run.orders:,} orders, {run.shares()}")


if __name__ == "__main__":
    main()
