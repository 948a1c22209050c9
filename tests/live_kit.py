"""A small exchange on a loopback port, with the streams of Bybit or of Binance futures, that misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from http import HTTPStatus

from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

FAULTS = ("drop", "repeat", "reorder", "stall", "close", "garbage")


class Exchange:
    """One market with a true book. `faults`: {number of the update from which on: what goes wrong once}.

    Use it as a context manager; `url` and `rest_url` are its addresses. The book moves `per_second` times.
    """

    def __init__(self, style="bybit", symbol="BTCUSDT", seed=1, per_second=400, faults=None, refuse=0):
        self.style, self.symbol = style, symbol
        self.random = random.Random(seed)
        self.per_second = per_second
        self.faults = dict(faults or {})
        self.refuse = refuse
        self.book = {}
        self.sequence = 100
        self.connections = 0
        self.snapshots = 0
        self.subscriptions = 0
        self.done = []
        self.paused = False
        for n in range(20):
            self.book["b", 9_999 - n] = self.book["a", 10_001 + n] = 10 + n
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _main(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._queues = set()
        async with serve(self._serve, "127.0.0.1", 0, process_request=self._request) as server:
            port = server.sockets[0].getsockname()[1]
            self.url, self.rest_url = f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}"
            self._ready.set()
            moving = asyncio.create_task(self._move())
            await self._stop.wait()
            moving.cancel()

    # ---- the market ----

    async def _move(self):
        while True:
            await asyncio.sleep(1 / self.per_second)
            if self.paused:
                continue
            side = self.random.choice("ba")
            price = 10_000 + (-1 if side == "b" else 1) * self.random.randint(1, 40)
            size = self.random.choice((0, 1, 2, 5, 9))
            self.book[side, price] = size
            before = self.sequence
            self.sequence += self.random.choice((1, 1, 3)) if self.style == "binance" else 1
            self._tell(self._update(side, price, size, before))
            if self.random.random() < 0.2:
                self._tell(self._trade())

    def levels(self, side):
        return [[str(price / 10), str(size / 1000)] for (its, price), size in self.book.items() if its == side and size]

    def truth(self):
        return {(0 if side == "b" else 1, price): size for (side, price), size in self.book.items() if size}

    def _update(self, side, price, size, before):
        now, row = time.time_ns() // 1_000_000, [[str(price / 10), str(size / 1000)]]
        bids, asks = (row, []) if side == "b" else ([], row)
        if self.style == "bybit":
            data = {"s": self.symbol, "b": bids, "a": asks, "u": self.sequence, "seq": self.sequence}
            return {"topic": f"orderbook.200.{self.symbol}", "type": "delta", "ts": now, "data": data}
        return {
            "e": "depthUpdate",
            "E": now,
            "T": now,
            "s": self.symbol,
            "U": before + 1,
            "u": self.sequence,
            "pu": before,
            "b": bids,
            "a": asks,
        }

    def _trade(self):
        now, number = time.time_ns() // 1_000_000, self.random.getrandbits(48)
        if self.style == "bybit":
            row = {"T": now, "s": self.symbol, "S": "Buy", "v": "0.001", "p": "1000.1", "i": str(number)}
            return {"topic": f"publicTrade.{self.symbol}", "type": "snapshot", "ts": now, "data": [row]}
        return {"e": "aggTrade", "E": now, "T": now, "s": self.symbol, "a": number, "p": "1000.1", "q": "0.001", "m": False}

    def _tell(self, frame):
        for queue in self._queues:
            queue.put_nowait(frame)

    # ---- the wire ----

    def _request(self, connection, request):
        if "Upgrade" in request.headers:
            if self.refuse > 0:
                self.refuse -= 1
                return _answer({"busy": True}, HTTPStatus.SERVICE_UNAVAILABLE)
            return None
        path = request.path
        if path.startswith("/v5/market/instruments-info"):
            rows = [
                {
                    "symbol": self.symbol,
                    "priceFilter": {"tickSize": "0.10"},
                    "lotSizeFilter": {"qtyStep": "0.001"},
                    "quoteCoin": "USDT",
                }
            ]
            return _answer({"result": {"list": rows if f"symbol={self.symbol}" in path else []}})
        if path.startswith("/fapi/v1/exchangeInfo"):
            filters = [{"filterType": "PRICE_FILTER", "tickSize": "0.10"}, {"filterType": "LOT_SIZE", "stepSize": "0.001"}]
            return _answer({"symbols": [{"symbol": self.symbol, "filters": filters, "quoteAsset": "USDT"}]})
        if path.startswith("/fapi/v1/depth"):
            self.snapshots += 1
            if self.snapshots == 1:  # one that is too old for the updates that follow
                return _answer({"lastUpdateId": 5, "E": time.time_ns() // 1_000_000, "bids": [], "asks": []})
            return _answer(
                {
                    "lastUpdateId": self.sequence,
                    "E": time.time_ns() // 1_000_000,
                    "bids": self.levels("b"),
                    "asks": self.levels("a"),
                }
            )
        return _answer({"error": "no such path"}, HTTPStatus.NOT_FOUND)

    async def _serve(self, socket):
        self.connections += 1
        queue = asyncio.Queue()
        sending = asyncio.create_task(self._send(socket, queue))
        try:
            async for text in socket:
                ask = json.loads(text)
                verb = str(ask.get("op", ask.get("method"))).lower()
                names = ask.get("args", ask.get("params", []))
                wants_book = any("orderbook" in name or "@depth" in name for name in names)
                if verb == "ping":
                    await socket.send('{"success":true,"op":"ping"}')
                elif verb == "unsubscribe":
                    self._queues.discard(queue)
                elif verb == "subscribe" and wants_book:
                    self.subscriptions += 1
                    await socket.send(
                        '{"success":true,"ret_msg":"","op":"subscribe"}' if self.style == "bybit" else '{"result":null,"id":1}'
                    )
                    if self.style == "bybit":
                        data = {"s": self.symbol, "b": self.levels("b"), "a": self.levels("a"), "u": self.sequence}
                        queue.put_nowait(
                            {
                                "topic": f"orderbook.200.{self.symbol}",
                                "type": "snapshot",
                                "ts": time.time_ns() // 1_000_000,
                                "data": data,
                            }
                        )
                    self._queues.add(queue)
        except ConnectionClosed:
            pass  # the client was killed
        finally:
            self._queues.discard(queue)
            sending.cancel()

    async def _send(self, socket, queue):
        held = None
        while True:
            frame = await queue.get()
            texts = [json.dumps(frame)]
            number = frame.get("u", frame.get("data", {}).get("u") if isinstance(frame.get("data"), dict) else None)
            fault = None
            if number is not None and frame.get("type") != "snapshot":
                due = [at for at in self.faults if at <= number]
                fault = self.faults.pop(min(due)) if due else None
            if fault is not None:
                self.done.append(fault)
            if fault == "drop":
                continue
            if fault == "repeat":
                texts *= 3
            if fault == "garbage":
                texts += ["{]", "null", '{"topic":7,"data":[]}', "[1,2]"]
            if fault == "reorder":
                held = texts[0]
                continue
            if fault == "stall":
                await asyncio.sleep(1.5)
                while not queue.empty():
                    queue.get_nowait()
                continue
            if fault == "close":
                await socket.close(1012)
                return
            for text in texts:
                await socket.send(text)
            if held is not None:
                await socket.send(held)
                held = None


def _answer(body, status=HTTPStatus.OK):
    content = json.dumps(body).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(content)), "Connection": "close"})
    return Response(status.value, status.phrase, headers, content)
