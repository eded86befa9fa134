"""The two threads of the prefix cache's tier on disk.

One stands between the processing thread and the batch thread: the cached blocks that a prompt begins with
come from disk before the batch sees the prompt. The other writes saved blocks while the batch goes on; it
is one of its own because prompts must not wait for a slow disk's writes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import structlog

from api.engine.disk.prefix_disk import PromptReading
from api.engine.disk.reader import BlocksRead
from api.engine.sequences.sequence import Sequence
from api.observability.request_log import logged_as
from api.threads.contracts import Arrivals, Inbox, PrefixTier, ServedEngine
from api.threads.worker import Heartbeat, Stage
from api.types import Cancel

log = structlog.get_logger(__name__)

_Prompt = tuple[Sequence, PromptReading]


class PrefetchThread:
    """Sends on all that arrives; a request's sequences, blocks and cancels stay in their order.

    Of each prompt some blocks are read as it comes, so that a short one waits for nobody. The longer ones
    follow one after another: each can run, and its blocks give way, before the next one's need the room.
    """

    def __init__(self, arrivals: Arrivals, inbox: Inbox, loaded: Future[ServedEngine]) -> None:
        self._arrivals = arrivals
        self._inbox = inbox
        self._loaded = loaded
        self._readings: deque[_Prompt] = deque()
        self.heartbeat = Heartbeat("prefetch")

    def run(self) -> None:
        if self._loaded.exception() is not None:  # waits for the model
            return
        disk = self._loaded.result().prefix_disk
        while self._take_messages(disk):
            if self._readings:
                self._read_on(*self._readings.popleft(), self._readings.appendleft)

    def _take_messages(self, disk: PrefixTier) -> bool:
        """Empties the queue, waiting only when nothing is being read. False at the end."""
        if not self._readings and not self._handle(self._wait(), disk):
            return False
        while not self._arrivals.empty():  # no other thread takes from it: what is seen is there
            if not self._handle(self._arrivals.get(), disk):
                return False
        return True

    def _wait(self) -> Sequence | Cancel | None:
        self.heartbeat.rest()
        message = self._arrivals.get()
        self.heartbeat.beat()
        return message

    def _handle(self, message: Sequence | Cancel | None, disk: PrefixTier) -> bool:
        match message:
            case None:
                return False
            case Cancel():
                self._stop_reading(message)
                self._inbox.put(message)
            case _:
                self._read_on(message, disk.read(message), self._readings.append)
        return True

    def _read_on(
        self, sequence: Sequence, reading: PromptReading, put_back: Callable[[_Prompt], None]
    ) -> None:
        self.heartbeat.beat()
        blocks = _next_blocks(sequence, reading)
        if blocks is None:
            self._inbox.put(sequence)
        else:
            self._inbox.put(blocks)
            put_back((sequence, reading))

    def _stop_reading(self, cancel: Cancel) -> None:
        """The batch is going to forget the sequence, so it must know it."""
        others: deque[_Prompt] = deque()
        for sequence, reading in self._readings:
            if sequence.request_id == cancel.request_id:
                self._inbox.put(sequence)
            else:
                others.append((sequence, reading))
        self._readings = others


def _next_blocks(sequence: Sequence, reading: PromptReading) -> BlocksRead | None:
    with logged_as(sequence.x_request_id):
        try:
            return reading.next()
        except Exception as error:  # the answer does not depend on it
            log.error("reading blocks from disk failed", request_id=sequence.request_id, exc_info=error)
            return None


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
