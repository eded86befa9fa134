"""The disk writer thread: kept blocks are written while the batch goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from api.threads.contracts import Arrivals, Inbox, ServedEngine
from api.threads.prefetch import PrefetchThread
from api.threads.worker import Heartbeat, Stage


class DiskWriterThread:
    """Runs until the tier on disk is closed and what waited is written."""

    def __init__(self, loaded: Future[ServedEngine]) -> None:
        self._loaded = loaded
        self.heartbeat = Heartbeat("disk writer")  # never beats: no request waits for a file

    def run(self) -> None:
        if self._loaded.exception() is None:  # waits for the model
            self._loaded.result().prefix_disk.write()

    def close(self) -> None:
        """Any thread, once."""
        if self._loaded.done() and self._loaded.exception() is None:
            self._loaded.result().prefix_disk.close()


def disk_stages(
    arrivals: Arrivals, inbox: Inbox, loaded: Future[ServedEngine]
) -> tuple[tuple[Stage, Callable[[], None]], tuple[Stage, Callable[[], None]]]:
    """The stage before the batch and the one behind it, each with what ends it."""
    prefetch, writer = PrefetchThread(arrivals, inbox, loaded), DiskWriterThread(loaded)
    return (prefetch, partial(arrivals.put, None)), (writer, writer.close)
