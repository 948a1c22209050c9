"""A small sender: batches of events to `perpwatch ingest` over HTTP, each exactly once, whatever the connection does.

    with Client("http://127.0.0.1:8060", token) as client:
        client.send(events)           # EVENT_DTYPE; numbered by the client
    client.end()

`python -m monitor.ingest.client URL FILE` sends a Parquet file that `perpwatch convert` wrote, and then the end.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np

from monitor.ingest.batch import encode
from monitor.ingest.web import ARROW
from monitor.live.limits import Backoff

TOKEN_VARIABLE: Final = "PERPWATCH_INGEST_TOKEN"  # noqa: S105 — a name, not a token
LARGEST_BATCH: Final = 50_000


class SendError(Exception):
    """The monitor does not take what is sent; the text is its own."""


class Client:
    """Sends to one feed. It begins where the feed stands, so a sender that comes back goes on."""

    def __init__(self, url: str, token: str, give_up_s: float = 60.0) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30.0)
        self._give_up_s = give_up_s
        self.next_seq: int = self._call("GET", "/v1/next")["next_seq"]
        """The number of the next event that is sent."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(self, events: np.ndarray) -> None:
        """Sends EVENT_DTYPE rows; their `seq` is set here. Returns when all are kept. Raises SendError."""
        for first in range(0, len(events), LARGEST_BATCH):
            part = events[first : first + LARGEST_BATCH].copy()
            part["seq"] = np.arange(self.next_seq, self.next_seq + len(part))
            answer = self._call("POST", "/v1/events", encode(part))
            self.next_seq += len(part)
            if answer["next_seq"] != self.next_seq:
                raise SendError(f"the feed stands at {answer['next_seq']}, sent was up to {self.next_seq}: another sender?")

    def end(self) -> None:
        """No more will come."""
        self._call("POST", "/v1/end")

    def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """An answer. What may pass (no connection, no room) is tried again: batches are known by their numbers."""
        deadline, backoff = time.monotonic() + self._give_up_s, Backoff(0.1, 5.0)
        while True:
            try:
                answer = self._http.request(method, path, content=body, headers={"Content-Type": ARROW} if body else None)
                if answer.is_success:
                    found: dict[str, Any] = answer.json()
                    return found
                said = f"{answer.status_code}: {answer.text[:300]}"
                if answer.status_code not in (429, 502, 503, 504, 507):
                    raise SendError(said)
            except httpx.HTTPError as error:
                said = str(error) or type(error).__name__
            if time.monotonic() > deadline:
                raise SendError(f"given up after {self._give_up_s:g} s: {said}")
            time.sleep(backoff.next_s())


def main(url: str, file: str) -> None:
    """Sends all events of a Parquet file, and the end."""
    from monitor.sources.events import EventsSource
    from monitor.sources.files import find_members

    with Client(url, os.environ[TOKEN_VARIABLE]) as client:
        sent = client.next_seq - 1
        for events in EventsSource(find_members([Path(file)])).batches():
            client.send(events[max(0, sent - int(events["seq"][0]) + 1) :])
        client.end()


if __name__ == "__main__":
    main(*sys.argv[1:3])
