"""Small recordings made up for tests: LOBSTER days cut from a whole book, and lines of Binance futures frames."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path

DAY = "TEST_2012-06-21_34200000_57600000_{kind}_{levels}.csv"


@dataclass
class WholeBook:
    """Every order, also those that a LOBSTER file of few levels does not tell. Prices in 1e-4 USD; bids are side 0."""

    tick: int = 100
    sides: tuple[dict[int, list[list[int]]], dict[int, list[list[int]]]] = field(default_factory=lambda: ({}, {}))
    next_id: int = 1

    def add(self, side: int, price: int, qty: int) -> int:
        self.sides[side].setdefault(price, []).append([self.next_id, qty])
        self.next_id += 1
        return self.next_id - 1

    def take(self, side: int, price: int, place: int, qty: int) -> None:
        queue = self.sides[side][price]
        queue[place][1] -= qty
        if queue[place][1] == 0:
            del queue[place]
        if not queue:
            del self.sides[side][price]

    def view(self, side: int, levels: int) -> list[tuple[int, int]]:
        prices = sorted(self.sides[side], reverse=side == 0)[:levels]
        return [(price, sum(qty for _, qty in self.sides[side][price])) for price in prices]

    def row(self, levels: int) -> list[int]:
        bids, asks = (self.view(side, levels) for side in (0, 1))
        bids += [(-9999999999, 0)] * (levels - len(bids))
        asks += [(9999999999, 0)] * (levels - len(asks))
        return [value for ask, bid in zip(asks, bids, strict=True) for value in (*ask, *bid)]


def lobster_rows(seed: int, levels: int, changes: int, width: int = 12) -> tuple[list[list[object]], list[list[int]]]:
    """Messages and book rows of `levels` levels, out of `changes` changes to a book about `width` levels deep a side."""
    rng = random.Random(seed)
    book = WholeBook()
    for side in (0, 1):
        for _ in range(width * 2):
            book.add(side, 1_000_000 + (1 - 2 * (1 - side)) * rng.randint(1, width) * book.tick, rng.randint(1, 5) * 10)
    messages: list[list[object]] = []
    rows: list[list[int]] = []
    time = 34200.0
    for _ in range(changes):
        before = book.row(levels)
        message = _change(rng, book, width)
        if message is None:
            continue
        time = round(time + rng.choice([0, 0.000000001, 0.25, 1.5]), 9)
        after = book.row(levels)
        if before != after or message[0] == 5:
            messages.append([f"{time:.9f}", *message])
            rows.append(after)
    return messages, rows


def _change(rng: random.Random, book: WholeBook, width: int) -> list[int] | None:
    side = rng.randint(0, 1)
    direction = 1 if side == 0 else -1
    own, other = book.sides[side], book.sides[1 - side]
    what = rng.random()
    if what < 0.45 or not own:
        best = max(book.sides[0], default=None) if side == 1 else min(book.sides[1], default=None)
        price = (best or 1_000_000) - direction * rng.randint(1, width) * book.tick
        if price <= 0:
            return None
        qty = rng.randint(1, 5) * 10
        return [1, book.add(side, price, qty), qty, price, direction]
    if what < 0.5 and other:
        return [5, 0, rng.randint(1, 9), rng.choice(sorted(own)) + 50 * rng.randint(0, 1), direction]
    if what < 0.62:
        price = max(own) if side == 0 else min(own)
        place, kind = 0, 4
    else:
        price = rng.choice(sorted(own))
        place, kind = rng.randrange(len(own[price])), 3
    order_id, held = own[price][place]
    qty = held if kind == 3 and rng.random() < 0.8 else rng.randint(1, held)
    if kind == 3 and qty < held:
        kind = 2
    book.take(side, price, place, qty)
    return [kind, order_id, qty, price, direction]


def write_lobster(folder: Path, messages: list[list[object]], rows: list[list[int]], name: str = DAY) -> tuple[Path, Path]:
    """The two csv files of one day."""
    levels = len(rows[0]) // 4
    paths = tuple(folder / name.format(kind=kind, levels=levels) for kind in ("message", "orderbook"))
    for path, table in zip(paths, (messages, rows), strict=True):
        path.write_text("".join(",".join(map(str, line)) + "\n" for line in table))
    return paths[0], paths[1]


T0_MS = 1_721_347_200_000


class Frames:
    """Lines of a Binance futures recording. Time moves on by 10 ms a line, the update ids by 5."""

    def __init__(self, symbol: str = "BTCUSDT", envelope: bool = True) -> None:
        self.symbol = symbol
        self.envelope = envelope
        self.lines: list[str] = []
        self.now_ms = T0_MS
        self.last = 1000

    def line(self, frame: dict[str, object], stream: str = "") -> str:
        self.now_ms += 10
        if self.envelope and stream:
            frame = {"stream": f"{self.symbol.lower()}@{stream}", "data": frame}
        self.lines.append(f"{self.now_ms}000000 {json.dumps(frame, separators=(',', ':'))}")
        return self.lines[-1]

    def depth(self, bids: dict[str, str] | None = None, asks: dict[str, str] | None = None, **other: object) -> str:
        previous = self.last
        self.last += 5
        frame = {
            "e": "depthUpdate", "E": self.now_ms, "T": self.now_ms, "s": self.symbol,
            "U": previous + 1, "u": self.last, "pu": previous,
            "b": list((bids or {}).items()), "a": list((asks or {}).items()),
        }  # fmt: skip
        return self.line({**frame, **other}, "depth@0ms")

    def ticker(self, bid: str, ask: str, **other: object) -> str:
        frame = {
            "e": "bookTicker", "u": self.last, "s": self.symbol, "b": bid, "B": "1.000", "a": ask, "A": "2.000",
            "T": self.now_ms, "E": self.now_ms,
        }  # fmt: skip
        return self.line({**frame, **other}, "bookTicker")

    def trade(self, number: int, price: str, qty: str, buyer_is_maker: bool = False, **other: object) -> str:
        frame = {
            "e": "trade", "E": self.now_ms, "T": self.now_ms, "s": self.symbol, "t": number, "p": price, "q": qty,
            "X": "MARKET", "m": buyer_is_maker,
        }  # fmt: skip
        return self.line({**frame, **other}, "trade")

    def mark(self, price: str, index: str, rate: str) -> str:
        frame = {
            "e": "markPriceUpdate", "E": self.now_ms, "s": self.symbol, "p": price, "i": index, "P": price, "r": rate,
            "T": self.now_ms + 3_600_000,
        }  # fmt: skip
        return self.line(frame, "markPrice@1s")

    def snapshot(self, last: int, bids: dict[str, str], asks: dict[str, str]) -> str:
        return self.line(
            {"lastUpdateId": last, "E": self.now_ms, "T": self.now_ms, "bids": list(bids.items()), "asks": list(asks.items())}
        )

    def write(self, path: Path) -> Path:
        path.write_text("".join(line + "\n" for line in self.lines))
        return path
