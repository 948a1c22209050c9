"""A run that never was, written into a real Redis the way the roles write it: for tests of the board alone.

Prices wander, guardrails are calm, and one cancel burst stands out. Seeded by nothing: all of it is arithmetic on the
window's number, so that a test knows what it will see.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl
from redis import Redis

from monitor.bus.keys import Keys
from monitor.bus.position import Position
from monitor.guardrails.pack import load_core
from monitor.metrics.actors import MEASURES, TOP
from monitor.metrics.catalogue import METRIC_NAMES
from monitor.metrics.rows import SCHEMA, encode_rows

SYMBOLS = ("BTC-PERP", "ETH-PERP", "SOL-PERP", "XRP-PERP", "DOGE-PERP", "AVAX-PERP", "LINK-PERP", "LTC-PERP")
PRICES = (64_210.5, 3_120.25, 148.31, 0.5213, 0.1234, 31.07, 14.92, 81.4)
START_WINDOW = 1_772_000_000
STEP_NS = 1_000_000_000

_NOBODY = {f"who_{measure}": [-1] * TOP for measure in MEASURES} | {f"top_{measure}": [0.0] * TOP for measure in MEASURES}

FEATURES = {
    "cancels": [
        ("cancels_per_trade", 172.0, 0.4, 6.1, "ratio"),
        ("cancels_near", 96.0, 0.0, 11.0, "count"),
        ("fleeting_cancels", 88.0, 0.0, 4.0, "count"),
        ("top_cancel_share", 0.71, 0.02, 0.31, "share"),
        ("cancelled_lots", 18_200.0, 120.0, 2_100.0, "lots"),
        ("ofi_lots", -210.0, -900.0, 900.0, "lots"),
        ("rejects", None, None, 2.0, "count"),
        ("added_lots", 1_900.0, 800.0, 4_000.0, "lots"),
    ],
    "depth": [
        ("depth_bid_5_usd", 41_300.0, 180_000.0, 460_000.0, "usd"),
        ("slippage_sell_bps", 9.4, 0.8, 2.9, "bps"),
        ("spread_bps", 6.2, 0.9, 1.8, "bps"),
    ],
    "leverage": [
        ("leverage_weighted", 38.4, 9.0, 14.0, "x"),
        ("leverage_new", 61.0, 8.0, 22.0, "x"),
        ("open_interest_change_lots", 5_200.0, -600.0, 700.0, "lots"),
    ],
    "prices": [("mark_index_bps", 31.0, -3.0, 3.4, "bps"), ("realised_vol_bps", 14.0, 1.1, 6.0, "bps")],
}


def contributions(family: str, score: float) -> list[dict[str, Any]]:
    """Contributions of a family's features that add up to `score`, the last two of a long list below zero."""
    features = FEATURES[family]
    weights = [2.0**-n if n < 6 else -0.02 * n for n in range(len(features))]
    scale = score / math.fsum(weights)
    rows = [
        {
            "feature": name,
            "value": value,
            "expected_low": low,
            "expected_high": high,
            "unit": unit,
            "contribution": weight * scale,
        }
        for (name, value, low, high, unit), weight in zip(features, weights, strict=True)
    ]
    rows[0]["contribution"] += score - math.fsum(row["contribution"] for row in rows)
    return rows


def anomaly(
    window: int, symbol: str, family: str, rate: float, score: float, event: str | None = None, **more: Any
) -> dict[str, Any]:
    """One line as rank publishes it, its window ending with window number `window`."""
    layer = {"cancels": "execution", "depth": "execution", "leverage": "margin", "prices": "pricing"}[family]
    end = window * STEP_NS
    return {
        "window_start_ns": end - STEP_NS,
        "window_end_ns": end,
        "window_ms": 1000,
        "symbol": symbol,
        "account": None,
        "family": family,
        "layer": layer,
        "event": event or f"{family}-{symbol}-{window}",
        "score": score,
        "rarity": 0.99992,
        "false_alarm_rate": rate,
        "contributions": contributions(family, score),
        "phase": "LIVE",
        "v": 1,
        "accounts": [{"account": 412, "metric": "cancels", "share": 0.71}] if family == "cancels" else [],
        **more,
    }


class FakeRun:
    """Publishes windows of `symbols`; `step()` one at a time, or `start()` one a second in a thread until `stop()`."""

    def __init__(self, url: str, run_id: str = "fake", symbols: Sequence[str] = SYMBOLS, phase: str = "LIVE") -> None:
        self.redis = Redis.from_url(url, protocol=2)
        self.keys = Keys(run_id)
        self.symbols = symbols
        self.phase = phase
        self.window = START_WINDOW
        self.roles = {"feed", "guard", "score", "rank"}
        """The roles that are alive."""
        self.verdicts: dict[tuple[str, str], str] = {}
        """(rule, symbol) → level, where it is not ok."""
        self.pending: list[dict[str, Any]] = []
        """Anomalies of the next window."""
        self._rules = load_core(METRIC_NAMES).rules
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # ---- what the roles write ----

    def _price(self, s: int, window: int) -> float:
        base = PRICES[s % len(PRICES)]
        return base * (1 + 0.002 * math.sin(window / 61 + s) + 0.0006 * math.sin(window / 7 + 2 * s))

    def _rows(self, windows: Sequence[int]) -> bytes:
        rows = []
        for window in windows:
            for s, symbol in enumerate(self.symbols):
                price = self._price(s, window)
                row: dict[str, Any] = dict.fromkeys(METRIC_NAMES)
                row.update(
                    index_usd=price,
                    mark_usd=price * (1 + 2e-5 * math.sin(window / 5)),
                    last_usd=price * (1 + 9e-5 * math.sin(window * 1.7 + s)),
                    mid_usd=price,
                )
                head = {
                    "window_index": window,
                    "window_start_ns": (window - 1) * STEP_NS,
                    "window_end_ns": window * STEP_NS,
                    "phase": self.phase,
                    "symbol": symbol,
                }
                rows.append({**dict.fromkeys(SCHEMA), **_NOBODY, **head, **row, "late": 0.0, "gaps": 0.0})
        return encode_rows(pl.DataFrame(rows, schema=SCHEMA))

    def _book(self, s: int) -> bytes:
        price, window = self._price(s, self.window), self.window
        tick = 10.0 ** (math.floor(math.log10(price)) - 4)
        best = round(price / tick)

        def side(sign: int) -> list[list[float]]:
            lots = [round(4 + 30 * abs(math.sin(n + window * 0.9 + s)) * (1 + n / 5), 1) for n in range(20)]
            return [[round((best + sign * (n + 1)) * tick, 8), lots[n]] for n in range(20)]

        return msgspec.json.encode({"window_end_ns": window * STEP_NS, "bids": side(-1), "asks": side(1)})

    def _states(self) -> dict[str, bytes]:
        out = {}
        for rule in self._rules:
            for symbol in self.symbols:
                level = self.verdicts.get((rule.name, symbol), "ok")
                state = {
                    "rule": rule.name,
                    "symbol": symbol,
                    "layer": rule.layer,
                    "state": level,
                    "since_ns": START_WINDOW * STEP_NS,
                    "window_end_ns": self.window * STEP_NS,
                    "value": 3.2,
                    "limit": rule.warn,
                    "unit": rule.unit,
                    "text": f"{level}: {rule.text.format(value='3.2 ' + rule.unit)}, limit {rule.warn:g}",
                }
                out[f"{rule.name}|{symbol}"] = msgspec.json.encode(state)
        return out

    def step(self, windows: int = 1) -> None:
        """The next blob through every role that is alive."""
        if "feed" in self.roles:
            indices = range(self.window + 1, self.window + 1 + windows)
            self.window += windows
            blob = {
                "v": 1,
                "first": indices[0],
                "last": self.window,
                "phase": self.phase,
                "rows": self._rows(indices),
                "counters": msgspec.json.encode({"events": 1, "late": 0, "gaps": 0, "rejects": {}}),
                "closed_wall_ns": time.time_ns(),
            }
            pipe = self.redis.pipeline(transaction=True)
            pipe.xadd(self.keys.metrics, blob, id=str(Position(self.window)))
            pipe.hset(self.keys.role("feed"), "position", str(Position(self.window)))
            pipe.hset(self.keys.books, mapping={symbol: self._book(s) for s, symbol in enumerate(self.symbols)})
            pipe.execute()
        if "guard" in self.roles:
            self.redis.hset(self.keys.guard_states, mapping=self._states())
        if {"score", "rank", "guard"} <= self.roles and "feed" in self.roles:
            items, self.pending = self.pending, []
            fields = {
                "v": 1,
                "prev": "",
                "items": msgspec.json.encode(items),
                "events": "[]",
                "verdicts": "[]",
                "closed_wall_ns": time.time_ns(),
                "done_wall_ns": time.time_ns(),
            }
            self.redis.xadd(self.keys.ranked, fields, id=str(Position(self.window)))
        for role in self.roles:
            beat = {
                "pid": 1,
                "epoch": 1,
                "state": "running",
                "last_window": self.window,
                "wall_ms": time.time_ns() // 1_000_000,
            }
            self.redis.hset(self.keys.health, role, msgspec.json.encode(beat))

    def end(self) -> None:
        """The run's end marker, as it passes through feed and rank."""
        for stream in (self.keys.metrics, self.keys.ranked):
            self.redis.xadd(stream, {"v": 1, "end": 1}, id=str(Position(self.window).end()))

    # ---- pace ----

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            self.step()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None


def fill(run: FakeRun) -> None:
    """Ten minutes of past with a handful of events of each family, the strongest a cancel burst in SOL-PERP just now."""
    for minute in range(10):
        base = run.window
        symbol = run.symbols[(3 * minute) % len(run.symbols)]
        family = ("depth", "prices", "cancels", "leverage")[minute % 4]
        run.pending = [
            anomaly(
                base + 20 + n,
                symbol,
                family,
                10 ** -(2.2 + 0.4 * minute + 0.1 * n),
                9 + 2 * minute + n,
                event=f"{family}-{symbol}-{base}",
            )
            for n in range(4)
        ]
        if minute == 9:
            burst = run.symbols[2]
            run.pending += [
                anomaly(base + 50 + n, burst, "cancels", 3.1e-9 * 10**-n, 61.0 + 8 * n, event=f"cancels-{burst}-{base + 50}")
                for n in range(3)
            ]
        run.step(60)
