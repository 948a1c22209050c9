"""The market, tick by tick: looks at the venue, lets everybody decide, and hands back the ops in the order of their times.

    simulation = Simulation(SimulationConfig(seed=7, start_ns=0))
    venue = simulation.new_venue()
    while True:
        ops = simulation.step(venue)            # the opening first, then 100 ms a step
        simulation.observe(venue.apply(ops))

What is decided depends on the configuration, on the venue's state and on the simulation's own (`snapshot`), and on nothing
else. A venue that was restored, or that replayed the same ops, therefore gets the same ops again.
"""

from __future__ import annotations

import msgspec
import numpy as np

from engine.arrays import pack_arrays, unpack_arrays
from engine.book import MEDIUM
from engine.contract import OP_DTYPE, OpKind
from engine.instruments import load_pack
from engine.simulation.config import TICK_NS, SimulationConfig
from engine.simulation.decide import decide, look, observe, seed_books
from engine.simulation.labels import Label
from engine.simulation.schedule import Request, Schedule
from engine.simulation.stage import Stage
from engine.simulation.state import ORDERS
from engine.simulation.world import build_world, opening_ops
from engine.venue import Venue

_REMEMBERED = ("g", "heads", "markets", "makers", "orders", "pools", "pending", "retries", "stops", "accounts")
"""The scene's arrays that change and belong to the simulation. The others follow from the seed, or are the venue's."""


class Simulation:
    """The market of one configuration. See the module."""

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        self.pack = load_pack(config.pack)
        self.instruments = tuple(self.pack.instrument(market.symbol) for market in config.markets)
        self.labels: tuple[Label, ...] = ()
        """Scenarios that have begun, oldest first."""
        self._schedule = Schedule(config)
        self._scene = build_world(config, self.instruments)
        self._opened = np.zeros(1, np.int64)
        self._held = np.zeros(0, OP_DTYPE)

    def new_venue(self) -> Venue:
        """A venue for this market, before its first op."""
        symbols = tuple(market.symbol for market in self.config.markets)
        return Venue(self.pack, symbols, self.config.accounts, MEDIUM)

    @property
    def opened(self) -> bool:
        """Whether the opening lies behind."""
        return bool(self._opened[0])

    @property
    def next_ns(self) -> int:
        """Where the next step begins: every op before this time was handed out."""
        return self.config.start_ns + int(self._scene.heads[0]["tick"]) * TICK_NS

    def step(self, venue: Venue) -> np.ndarray:
        """The ops of the next tick (OP_DTYPE, times ascending), or the opening's. Call `observe` before the next step."""
        self._scene = self._scene._replace(cash=venue.cash, positions=venue.positions)
        if not self.opened:
            self._opened[0] = 1
            return self._open()
        now_ns = self.next_ns
        look(self._scene, now_ns, venue.books, venue.prices)
        stalls = self._direct(venue, now_ns)
        count = decide(self._scene, now_ns, venue.prices)
        self._scene.heads[0]["tick"] += 1
        ops = self._scene.ops[:count]
        ops = ops[np.argsort(ops["ts_ns"], kind="stable")]
        return self._hold(ops) if stalls else self._let_go(ops, now_ns)

    def ask(self, request: Request) -> None:
        """Lets a scenario happen besides; `request.at_ns` is `next_ns` or later. Raises KeyError if there is no such one."""
        self._schedule.ask(request)

    def observe(self, events: np.ndarray) -> None:
        """Learns what became of the ops handed out."""
        observe(self._scene, events)

    def drill(self, name: str, strength: float) -> None:
        """Plans a scenario in a quiet market, as a configuration that names it would. Raises KeyError if there is none."""
        self._schedule.plan_drill(name, strength)

    @property
    def planned_end_ns(self) -> int | None:
        """When the scenario under way, or the next one, is over; None if none is planned."""
        planned = self._schedule.planned
        return None if planned is None else planned.end_ns

    def snapshot(self) -> bytes:
        """The whole state of the simulation; the venue has its own."""
        beside = (self.labels, self._schedule.state(), self._held.tobytes())
        return pack_arrays(self._arrays(), msgspec.msgpack.encode(beside))

    def restore(self, snapshot: bytes) -> None:
        """Goes to the state of a snapshot. Raises ValueError if it is of another shape of simulation."""
        beside = unpack_arrays(snapshot, self._arrays())
        self.labels, schedule, held = msgspec.msgpack.decode(beside, type=tuple[tuple[Label, ...], bytes, bytes])
        self._schedule.restore(schedule)
        self._held = np.frombuffer(held, OP_DTYPE).copy()

    def _open(self) -> np.ndarray:
        ops = opening_ops(self.config, self._scene, has_portfolio=self.pack.margin.portfolio != "none")
        seeds = np.zeros(len(self.config.markets) * ORDERS, OP_DTYPE)
        count = seed_books(self._scene._replace(ops=seeds), self.config.start_ns)
        return np.concatenate([ops, seeds[:count]])

    def _direct(self, venue: Venue, now_ns: int) -> bool:
        """Lets the scenario have its part of the tick. Returns whether the engine is stuck in it."""
        schedule = self._schedule
        over, begins = schedule.turn(now_ns)
        if over is None and not schedule.is_active:
            return False
        stage = Stage(self._scene, venue, self.pack, self.instruments, schedule.generator, now_ns)
        if over is not None:
            over.end(stage)
        if begins is not None:
            begins.draw(stage, schedule.strength)
            self.labels += tuple(begins.labels(stage))
        if schedule.is_active and schedule.planned is not None:
            schedule.planned.act(stage)
            return schedule.planned.stalls
        return False

    def _hold(self, ops: np.ndarray) -> np.ndarray:
        """Keeps the ops for when the engine goes on; the clock of the engine stands still, too."""
        self._held = np.concatenate([self._held, ops[ops["kind"] != OpKind.CLOCK]])
        return ops[:0]

    def _let_go(self, ops: np.ndarray, now_ns: int) -> np.ndarray:
        """The ops, after those that were kept, which all arrive as the tick begins."""
        if not len(self._held):
            return ops
        held, self._held = self._held, self._held[:0]
        held["ts_ns"] = now_ns + np.minimum(np.arange(len(held)) * 1_000, TICK_NS - 1)
        ops["ts_ns"] = np.maximum(ops["ts_ns"], held["ts_ns"][-1])
        return np.concatenate([held, ops])

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {name: getattr(self._scene, name) for name in _REMEMBERED}
        return arrays | {"schedule": self._schedule.generator, "opened": self._opened}
