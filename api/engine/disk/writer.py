"""Writes saved blocks to disk behind the batch thread's back: whoever computes never waits for a file."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import structlog

from api.engine.device.host_arrays import HostArray, Layout, data_bytes, layout_of
from api.engine.disk.byte_gate import ByteGate
from api.engine.disk.format import SUFFIX, file_bytes, write_block
from api.engine.disk.index import DiskIndex

log = structlog.get_logger(__name__)

_QUEUE_BYTES = 256 * 1024**2
# Reading the folder again because another process wrote to it takes a tenth of the time at most.
_RESTS_PER_SCAN = 9
PAUSE_SECONDS = 30.0  # after an error: a full disk may have room again


@dataclass(frozen=True, slots=True)
class _Waiting:
    key: str
    arrays: list[HostArray]
    num_bytes: int


class BlockWriter:
    """A bounded queue and what is done to it. ``offer`` is the batch thread's, ``run`` the writer's."""

    def __init__(self, index: DiskIndex, folder: Path, queue_bytes: int = _QUEUE_BYTES) -> None:
        self._index = index
        self._folder = folder
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._gate = ByteGate(queue_bytes)
        self._is_closed = threading.Event()
        self._paused_until_seconds = 0.0
        self.num_written = 0
        self._num_refused = 0  # the batch thread's count
        self._num_unwritten = 0  # the writer's

    @property
    def _is_paused(self) -> bool:
        return time.monotonic() < self._paused_until_seconds

    @property
    def num_skipped(self) -> int:
        return self._num_refused + self._num_unwritten

    def offer(self, key: str, layout: Layout, copy: Callable[[], list[HostArray]]) -> None:
        """Has a block written that ``copy`` gives, unless too much waits already: then it is skipped."""
        if self._is_paused or not self._gate.try_acquire(data_bytes(layout)):
            self._num_refused += 1
            return
        self._queue.put(_Waiting(key, copy(), data_bytes(layout)))

    def close(self) -> None:
        """``run`` returns when all that was offered before is written."""
        self._is_closed.set()
        self._queue.put(None)

    def run(self) -> None:
        is_open = True
        while is_open:
            waiting, is_open = self._take()
            self._is_closed.wait(self._write_all(waiting))

    def _take(self) -> tuple[deque[_Waiting], bool]:
        """Waits for one, and takes what there is; False with the end."""
        waiting: deque[_Waiting] = deque()
        try:
            each = self._queue.get()
            while each is not None:
                waiting.append(each)
                each = self._queue.get_nowait()
        except Empty:
            return waiting, True
        return waiting, False

    def _write_all(self, waiting: deque[_Waiting]) -> float:
        """Empties the queue; returns the seconds to rest."""
        try:
            return self._write_batch(waiting) if waiting and not self._is_paused else 0.0
        except Exception as error:  # whatever it is, answers do not depend on it
            self._paused_until_seconds = time.monotonic() + PAUSE_SECONDS
            log.warning("prefix cache on disk: writing pauses", seconds=PAUSE_SECONDS, reason=str(error))
            return 0.0
        finally:
            self._num_unwritten += len(waiting)
            self._gate.release(sum(each.num_bytes for each in waiting))

    def _write_batch(self, waiting: deque[_Waiting]) -> float:
        with self._index.open() as scan_seconds:
            while waiting:
                self._write(waiting[0])
                self._gate.release(waiting.popleft().num_bytes)
        return _RESTS_PER_SCAN * scan_seconds

    def _write(self, waiting: _Waiting) -> None:
        path = self._folder / f"{waiting.key}{SUFFIX}"
        num_bytes = file_bytes(waiting.key, layout_of(waiting.arrays))
        if self._index.holds(path, num_bytes):
            return
        if not self._index.has_parent(path) or not self._index.make_room(path, num_bytes):
            self._num_unwritten += 1
            return
        write_block(path, waiting.key, waiting.arrays)
        self._index.add(path, num_bytes)
        self.num_written += 1
