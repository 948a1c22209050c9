"""What a scenario sees of the market in a tick, and what it may do there.

Draws come from a generator of the scenarios' own, so that the same market without them meets the same chances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.contract import MICRO, OpFlag, OpKind, Side, SymbolState, VenueRule
from engine.instruments import Instrument, Pack
from engine.simulation.actions import cancel_later, put_op, room, send_resting, send_stop, send_taker, take_slot
from engine.simulation.config import TICK_NS
from engine.simulation.generator import below, between, exponential, uniform
from engine.simulation.makers import withdraw
from engine.simulation.state import CALM, DOMINANT, MAKERS, Scene
from engine.venue import Venue

SECOND_NS: Final = 1_000_000_000


class Stage:
    """One tick's view: `start_ns` is when the tick begins; it ends `TICK_NS` later."""

    def __init__(
        self, scene: Scene, venue: Venue, pack: Pack, instruments: Sequence[Instrument], g: np.ndarray, start_ns: int
    ) -> None:
        self.scene = scene
        self.venue = venue
        self.pack = pack
        self.instruments = instruments
        self.start_ns = start_ns
        self._g = g

    # Chance ---------------------------------------------------------------------------------------------------------------

    def uniform(self) -> float:
        """In [0, 1)."""
        return float(uniform(self._g))

    def between(self, low: float, high: float) -> float:
        """In [low, high)."""
        return float(between(self._g, low, high))

    def below(self, n: int) -> int:
        """In 0 … n - 1."""
        return int(below(self._g, n))

    def exponential(self, mean: float) -> float:
        """A waiting time."""
        return float(exponential(self._g, mean))

    def some(self, candidates: Sequence[int] | np.ndarray, n: int) -> list[int]:
        """Up to `n` of the candidates, in random order."""
        left = [int(candidate) for candidate in candidates]
        return [left.pop(self.below(len(left))) for _ in range(min(n, len(left)))]

    def times(self, rate: float) -> list[int]:
        """When things happen in this tick that come at `rate` a second: UTC nanoseconds, rising."""
        found = []
        at_s = self.exponential(1.0 / rate) if rate > 0.0 else 1.0
        while at_s < TICK_NS / SECOND_NS:
            found.append(self.start_ns + 1 + int(at_s * SECOND_NS))
            at_s += self.exponential(1.0 / rate)
        return found

    def soon(self) -> int:
        """Some time in this tick."""
        return self.start_ns + 1 + self.below(TICK_NS - 1)

    # What there is --------------------------------------------------------------------------------------------------------

    def market(self, k: int) -> np.void:
        """The record of market k (MARKET_DTYPE): the book as seen at the tick's beginning, and the dials of `CALM`."""
        record: np.void = self.scene.markets[k]
        return record

    def has_book(self, k: int) -> bool:
        """Whether both sides quote."""
        return bool(self.scene.markets["bid"][k] > 0 and self.scene.markets["ask"][k] > 0)

    def members(self, k: int, *kinds: int) -> np.ndarray:
        """Accounts that trade market k, of some kinds (all, if none is given)."""
        members = self.scene.members[self.scene.starts[k] : self.scene.starts[k + 1]]
        return members if not kinds else members[np.isin(self.scene.accounts["kind"][members], kinds)]

    def of_kind(self, *kinds: int) -> np.ndarray:
        """All accounts of some kinds."""
        return np.flatnonzero(np.isin(self.scene.accounts["kind"], kinds))

    def equity_usd(self) -> np.ndarray:
        """Wallet and positions at the marks, float64 [accounts]."""
        value: np.ndarray = self.scene.cash / MICRO + self.scene.positions @ self.scene.markets["usd_per_lot"]
        return value

    def notional_usd(self) -> np.ndarray:
        """Absolute value of all positions at the marks, float64 [accounts]."""
        value: np.ndarray = np.abs(self.scene.positions) @ self.scene.markets["usd_per_lot"]
        return value

    def open_interest_usd(self, k: int) -> float:
        """One side."""
        return float(np.maximum(self.scene.positions[:, k], 0).sum() * self.scene.markets["usd_per_lot"][k])

    def max_leverage(self, k: int) -> float:
        """The highest that the market's ladder grants."""
        return float(self.pack.max_leverage(self.instruments[k]))

    def lots(self, k: int, usd: float) -> int:
        """At least one."""
        return max(1, int(usd / self.scene.markets["usd_per_lot"][k]))

    def touch(self, k: int, side: int) -> int:
        """Best price of a side, ticks; 0 if there is none."""
        return int(self.scene.markets["bid" if side == Side.BUY else "ask"][k])

    def progress(self, start_ns: int, end_ns: int) -> float:
        """How much of the time from `start_ns` to `end_ns` has passed at the end of this tick, 0 to 1."""
        return min(1.0, max(0.0, (self.start_ns + TICK_NS - start_ns) / (end_ns - start_ns)))

    # What can be done -----------------------------------------------------------------------------------------------------

    def rest(self, ts_ns: int, k: int, account: int, side: int, price: int, lots: int, life_ns: int | None = None) -> int:
        """A post-only limit order, cancelled after `life_ns` if that is given. Returns its id; 0 if there is no room."""
        slot = take_slot(self.scene, k) if room(self.scene) else -1
        if slot < 0:
            return 0
        order_id = int(send_resting(self.scene, ts_ns, k, slot, account, side, max(1, price), max(1, lots)))
        if life_ns is not None:
            cancel_later(self.scene, ts_ns + life_ns, k, order_id)
        return order_id

    def cancel(self, ts_ns: int, k: int, order_id: int) -> None:
        """Cancels an order of `rest` if it is still there when the time has come."""
        cancel_later(self.scene, ts_ns, k, order_id)

    def take(self, ts_ns: int, k: int, account: int, side: int, lots: int, slack: int = 4, *, reduce: bool = False) -> None:
        """An order that takes what is there, up to `slack` ticks and half a per mille behind the touch."""
        touch = self.touch(k, 1 - side)
        if touch == 0 or lots < 1 or not room(self.scene):
            return
        slack += touch // 2000
        limit = touch + slack if side == Side.BUY else max(1, touch - slack)
        send_taker(self.scene, ts_ns, k, account, side, limit, lots, int(OpFlag.REDUCE_ONLY) if reduce else 0)

    def sweep(self, ts_ns: int, k: int, account: int, side: int, lots: int) -> None:
        """A market order."""
        if lots >= 1 and room(self.scene):
            send_taker(self.scene, ts_ns, k, account, side, 0, lots, 0)

    def stop(self, ts_ns: int, k: int, account: int, side: int, trigger: int) -> None:
        """Protects the account's position with a stop at `trigger` ticks."""
        if room(self.scene):
            send_stop(self.scene, ts_ns, k, account, side, max(1, trigger))

    def transfer(self, ts_ns: int, account: int, usd: float) -> None:
        """A deposit, or a withdrawal where it is negative."""
        if room(self.scene):
            self._op(ts_ns, OpKind.TRANSFER, -1, account)["qty"] = round(usd * MICRO)

    def set_state(self, ts_ns: int, k: int, state: SymbolState) -> None:
        self._op(ts_ns, OpKind.STATE, k)["code"] = state

    def set_rule(self, ts_ns: int, rule: VenueRule, value: int) -> None:
        op = self._op(ts_ns, OpKind.RULE, -1)
        op["code"], op["qty"] = rule, value

    def send_away(self, k: int, makers: Sequence[int]) -> None:
        """These makers of the market cancel everything and quote no more, until `calm`."""
        for m in makers:
            withdraw(self.scene, self.start_ns + 1 + self.below(TICK_NS // 2), k, m)

    def makers(self, k: int, which: Sequence[int]) -> list[int]:
        """The accounts of some makers of a market; the first `DOMINANT` are the large ones."""
        return [int(self.scene.makers["account"][k, m]) for m in which]

    def calm(self, k: int) -> None:
        """Turns all dials of the market back; makers that are away come again with their next look."""
        for name, value in CALM.items():
            self.scene.markets[name][k] = value
        self.scene.makers["away"][k] = 0

    def _op(self, ts_ns: int, kind: OpKind, k: int, account: int = 0, order_id: int = 0) -> np.void:
        """A fresh op, all other fields zero."""
        put_op(self.scene, ts_ns, int(kind), k, account, order_id)
        op: np.void = self.scene.ops[self.scene.heads["ops"][0] - 1]  # what a compiled function returns is a copy
        return op


ALL_MAKERS: Final = tuple(range(MAKERS))
LARGE_MAKERS: Final = tuple(range(DOMINANT))
