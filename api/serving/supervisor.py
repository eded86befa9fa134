"""The parent of several workers, or of one that restarts when the code changes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

import structlog

from api.serving.process_end import (
    ENGINE_DEAD_CODE,
    STARTUP_ERROR_CODE,
    WORKERS_CRASHED_CODE,
    end_process,
    insists,
    stop_signals,
)
from api.serving.restarts import RestartPolicy
from api.serving.server import ECHO_SECONDS
from api.serving.supervision import Supervision

log = structlog.get_logger(__name__)

WorkerTarget = Callable[[socket.socket, Supervision], int]

_RELOAD_PERIOD_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    process: BaseProcess
    serving: Connection  # when it begins to serve, it tells the time

    def take_serving_seconds(self) -> float | None:
        """When it began to serve, by time.monotonic(), which all processes share; None: never.

        Ask once, when the worker has ended.
        """
        with self.serving:
            try:
                return float(self.serving.recv_bytes()) if self.serving.poll() else None
            except (EOFError, OSError):
                return None


class Supervisor:
    """Starts workers that share one listening socket, and replaces those that crash or whose engine died.

    Workers are spawned, not forked: neither MLX nor a threaded parent survives a fork.
    """

    def __init__(
        self, target: WorkerTarget, sock: socket.socket, num_workers: int, watched: Path | None = None
    ) -> None:
        self._target = target
        self._sock = sock
        self._num_workers = num_workers
        self._watched = CodeWatch(watched) if watched is not None else None
        self._workers: list[WorkerProcess] = []
        self._restarts = RestartPolicy(num_workers)
        self._due_starts: list[float] = []  # time.monotonic() of those to come
        self._wake_reader, self._wake_writer = os.pipe()
        self._signal: int | None = None
        self._signalled_seconds = 0.0

    def run(self) -> int:
        """Returns the exit code: 0 after a signal, 2 when the workers cannot start, 1 when they crash."""
        for each in stop_signals():
            signal.signal(each, self._handle_signal)
        for _ in range(self._num_workers):
            self._start_worker()
        code = self._supervise()
        self._stop_workers()
        return code

    def _handle_signal(self, sig: int, frame: FrameType | None) -> None:
        now_seconds = time.monotonic()
        if self._signal is not None:
            if now_seconds - self._signalled_seconds < ECHO_SECONDS or not insists(sig):
                return
            for worker in self._workers:
                worker.process.kill()
            os._exit(128 + sig)
        self._signal, self._signalled_seconds = sig, now_seconds
        os.write(self._wake_writer, b"!")

    def _start_worker(self, listens_when_loaded: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        serving, told = context.Pipe(duplex=False)
        process = context.Process(
            target=run_supervised, args=(self._target, self._sock, told, listens_when_loaded)
        )
        process.start()
        told.close()  # the worker has its own: it is closed when the worker ends
        self._workers.append(WorkerProcess(process, serving))
        log.debug("worker started", pid=process.pid)

    def _supervise(self) -> int:
        while self._signal is None:
            wait(
                [self._wake_reader, *(worker.process.sentinel for worker in self._workers)],
                self._wait_seconds(),
            )
            if self._signal is None and (code := self._replace_dead()) is not None:
                return code
            self._start_due()
            if self._signal is None and self._watched and (changed := self._watched.changed()):
                self._reload(changed)
        return 0

    def _wait_seconds(self) -> float | None:
        """Until there is something to do although nothing happens; None: never."""
        waits = [max(0.0, due - time.monotonic()) for due in self._due_starts]
        return min([*waits, *([_RELOAD_PERIOD_SECONDS] if self._watched else [])], default=None)

    def _replace_dead(self) -> int | None:
        """Lets successors of ended workers start; returns an exit code where that would be pointless."""
        for worker in [each for each in self._workers if not each.process.is_alive()]:
            self._workers.remove(worker)
            exit_code, serving_seconds = worker.process.exitcode, worker.take_serving_seconds()
            if exit_code == STARTUP_ERROR_CODE and not self._restarts.has_served:
                return STARTUP_ERROR_CODE
            if self._watched is not None and exit_code != ENGINE_DEAD_CODE:
                log.error("worker ended, waiting for a change of the code", exit_code=exit_code)
                continue
            uptime_seconds = None if serving_seconds is None else time.monotonic() - serving_seconds
            pause_seconds = self._restarts.pause_seconds(uptime_seconds)
            pid = worker.process.pid
            log.error("worker died", pid=pid, exit_code=exit_code, restart_in_seconds=pause_seconds)
            if pause_seconds is None:
                return WORKERS_CRASHED_CODE
            self._due_starts.append(time.monotonic() + pause_seconds)
        return None

    def _start_due(self) -> None:
        now_seconds = time.monotonic()
        for due_seconds in [each for each in self._due_starts if each <= now_seconds]:
            self._due_starts.remove(due_seconds)
            if self._signal is None:
                self._start_worker(listens_when_loaded=bool(self._workers))

    def _reload(self, changed: Path) -> None:
        log.info("code changed, restarting", file=str(changed))
        self._stop_workers()
        self._due_starts.clear()
        for _ in range(self._num_workers if self._signal is None else 0):
            self._start_worker()

    def _stop_workers(self) -> None:
        """Lets all workers drain at the same time, and waits for them."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
            worker.serving.close()
        self._workers.clear()


def run_supervised(
    target: WorkerTarget, sock: socket.socket, told: Connection, listens_when_loaded: bool
) -> None:
    """A worker's whole life. Ctrl-C and a closing terminal reach the whole group: the parent decides."""
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()

    def tell() -> None:
        told.send_bytes(repr(time.monotonic()).encode())

    end_process(target(sock, Supervision(tell, listens_when_loaded)))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


class CodeWatch:
    """Finds changed Python files below a folder by their modification times."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._times = self._read()

    def changed(self) -> Path | None:
        """Returns a file that was changed, added or removed since the last call."""
        before, self._times = self._times, self._read()
        differing = before.items() ^ self._times.items()
        return min(path for path, _ in differing) if differing else None

    def _read(self) -> dict[Path, int]:
        files = [*self._root.glob("*.py"), *(self._root / "api").rglob("*.py")]
        return {path: path.stat().st_mtime_ns for path in files if path.exists()}
