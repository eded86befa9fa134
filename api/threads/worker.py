"""A named thread that cannot die in silence, and the heartbeat by which a stuck one is noticed."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)


class Heartbeat:
    """When its owner began what it is doing now; None while it waits for work."""

    __slots__ = ("_since_seconds", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._since_seconds: float | None = None

    def beat(self) -> None:
        """Progress: one unit of work begins."""
        self._since_seconds = time.monotonic()

    def rest(self) -> None:
        """The owner is about to wait for work, for as long as it takes."""
        self._since_seconds = None

    def busy_seconds(self) -> float:
        """Returns how long the unit under way has taken; 0 while waiting. Any thread may ask."""
        since = self._since_seconds  # read once: the owner may rest meanwhile
        return 0.0 if since is None else time.monotonic() - since


class Stage(Protocol):
    """What a worker runs."""

    @property
    def heartbeat(self) -> Heartbeat: ...

    def run(self) -> None: ...


class Worker:
    """Runs ``body`` in a daemon thread; an exception that leaves it is logged and reported."""

    def __init__(self, name: str, body: Callable[[], None], on_death: Callable[[str], None]) -> None:
        self.name = name
        self._body = body
        self._on_death = on_death
        # A daemon, so that a step stuck in the device cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_seconds: float) -> bool:
        """Returns False when the thread is still alive after that time."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    @property
    def thread(self) -> threading.Thread:
        return self._thread

    def _run(self) -> None:
        try:
            self._body()
        except BaseException as error:
            log.exception("thread died", thread=self.name)
            self._on_death(f"the {self.name} thread died: {type(error).__name__}: {error}")


def cpu_seconds_by_thread(workers: Iterable[Worker]) -> dict[str, float]:
    """Processor time that each thread has taken, the main one included; {} where the system does not tell."""
    threads = {"main": threading.main_thread(), **{each.name: each.thread for each in workers}}
    seconds = {name: _cpu_seconds(thread) for name, thread in threads.items() if thread.is_alive()}
    return {name: value for name, value in seconds.items() if value is not None}


def _cpu_seconds(thread: threading.Thread) -> float | None:
    """None for a thread that ends just now, and on macOS, which has no clocks of other threads."""
    if sys.platform != "linux":
        return None
    try:
        return None if thread.ident is None else time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    except OSError:
        return None
