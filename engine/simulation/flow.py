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
from engine.contract import MICRO, OP_DTYPE
from engine.instruments import load_pack
from engine.simulation import incidents
from engine.simulation.config import TICK_NS, SimulationConfig
from engine.simulation.decide import decide, observe, seed_books
from engine.simulation.injections import Label, Schedule
from engine.simulation.state import ORDERS
from engine.simulation.world import build_world, opening_ops
from engine.venue import Venue

_REMEMBERED = ("g", "heads", "markets", "makers", "orders", "pools", "pending", "incidents")
"""The scene's arrays that change and belong to the simulation. The others follow from the seed, or are the venue's."""


class Simulation:
    """The market of one configuration. See the module."""

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        self.pack = load_pack(config.pack)
        self.instruments = tuple(self.pack.instrument(market.symbol) for market in config.markets)
        self.labels: tuple[Label, ...] = ()
        """Incidents that have begun, oldest first."""
        self._schedule = Schedule(config)
        self._scene = build_world(config, self.instruments)._replace(incidents=self._schedule.incidents)
        self._opened = np.zeros(1, np.int64)

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
        incident = self._schedule.incidents[0]
        if now_ns >= incident["end_ns"]:
            incidents.end(self._scene)
            self._schedule.finish()
        elif now_ns == incident["start_ns"]:
            self._begin_incident()
        count = decide(self._scene, now_ns, venue.books, venue.prices)
        self._scene.heads[0]["tick"] += 1
        ops = self._scene.ops[:count]
        return ops[np.argsort(ops["ts_ns"], kind="stable")]

    def observe(self, events: np.ndarray) -> None:
        """Learns what became of the ops handed out."""
        observe(self._scene, events)

    def snapshot(self) -> bytes:
        """The whole state of the simulation; the venue has its own."""
        return pack_arrays(self._arrays(), msgspec.msgpack.encode(self.labels))

    def restore(self, snapshot: bytes) -> None:
        """Goes to the state of a snapshot. Raises ValueError if it is of another shape of simulation."""
        self.labels = msgspec.msgpack.decode(unpack_arrays(snapshot, self._arrays()), type=tuple[Label, ...])

    def _open(self) -> np.ndarray:
        ops = opening_ops(self.config, self._scene)
        seeds = np.zeros(len(self.config.markets) * ORDERS, OP_DTYPE)
        count = seed_books(self._scene._replace(ops=seeds), self.config.start_ns)
        return np.concatenate([ops, seeds[:count]])

    def _begin_incident(self) -> None:
        scene = self._scene
        k = int(scene.incidents[0]["symbol"])
        per_lot = scene.markets["usd_per_lot"]
        label = self._schedule.begin(
            self.instruments[k],
            self.pack.max_leverage(self.instruments[k]),
            scene,
            scene.cash / MICRO + (scene.positions * per_lot).sum(axis=1),
            float(np.maximum(scene.positions[:, k], 0).sum() * per_lot[k]),
        )
        self.labels = (*self.labels, label)

    def _arrays(self) -> dict[str, np.ndarray]:
        schedule = {"schedule": self._schedule.generator, "incidents_done": self._schedule.done, "opened": self._opened}
        return {name: getattr(self._scene, name) for name in _REMEMBERED} | schedule
