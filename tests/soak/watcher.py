"""A well-behaved client that reads one stream after another and remembers its longest wait."""

from __future__ import annotations

import http.client
import json
import threading
import time
from urllib.parse import urlsplit

from tests.soak.abuse import chat


class Watcher:
    """Runs in a thread of its own, so that what the other clients do in this process does not count."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self.longest_gap_seconds = 0.0  # between two events of a stream
        self.num_gaps = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            self._read_stream()

    def _read_stream(self) -> None:
        """Of the best priority, so that nobody takes its place in the batch."""
        body = chat("Tell a story", stream=True, max_tokens=400, ignore_eos=True, priority=-100)
        connection = http.client.HTTPConnection(self._netloc, timeout=300)
        try:
            connection.request(
                "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"}
            )
            self._measure(connection.getresponse())
        finally:
            connection.close()

    def _measure(self, response: http.client.HTTPResponse) -> None:
        last_seconds: float | None = None
        while not self._end.is_set() and (line := response.readline()):
            if not line.startswith(b"data: {"):
                continue
            now_seconds = time.monotonic()
            if last_seconds is not None:
                self.num_gaps += 1
                self.longest_gap_seconds = max(self.longest_gap_seconds, now_seconds - last_seconds)
            last_seconds = now_seconds
