"""The desk's Redis interface: a stream whose entries hold a batch each, read in order and trimmed as they are kept.

Who may add to it is Redis's own matter (a user with `XADD` on the one key). An entry has the field `events` (Arrow IPC) or
`json`. A batch that is wrong stays in the answer stream `<key>:answers`, with why, and so does what was taken.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from monitor.ingest.batch import BatchError
from monitor.ingest.desk import Desk

BLOCK_MS: Final = 500
ANSWERS: Final = 1000
"""Answers that are kept for whoever wants to read them."""

log = logging.getLogger("perpwatch")


def read_stream(redis: Redis, key: str, desk: Desk) -> None:
    """Takes what is in the stream, over and over, until the feed has ended. A lost server is tried again."""
    at = "0"
    while not desk.ended:
        try:
            found: Any = redis.xread({key: at}, count=64, block=BLOCK_MS)
            for _, entries in found or ():
                for entry_id, fields in entries:
                    at = entry_id.decode()
                    answer: Any = {"entry": at, **_take(fields, desk)}
                    redis.xadd(f"{key}:answers", answer, maxlen=ANSWERS)
                # Trimmed only now: after a crash what was not kept is read again, and what was is known by its numbers.
                redis.xtrim(key, minid=_after(at))
        except RedisError as error:
            log.warning("stream %s: %s", key, error)
            time.sleep(1.0)


def _take(fields: dict[bytes, bytes], desk: Desk) -> dict[str, Any]:
    body = fields.get(b"events", fields.get(b"json"))
    if fields.keys() == {b"end"}:
        desk.end()
        return {"ended": 1}
    if body is None:
        return {"error": "the entry has neither events nor json", "next_seq": desk.next_seq}
    while True:
        try:
            return {"taken": desk.take(body, is_json=b"json" in fields), "next_seq": desk.next_seq}
        except BatchError as error:
            log.warning("batch refused: %s", error)
            return {"error": str(error), "next_seq": desk.next_seq}
        except OSError as error:
            log.error("events cannot be kept: %s", error)
            time.sleep(1.0)


def _after(entry_id: str) -> str:
    milliseconds, _, number = entry_id.partition("-")
    return f"{milliseconds}-{int(number) + 1}"
