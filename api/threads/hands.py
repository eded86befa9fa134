"""Hands of the processing thread: they prepare long prompts, so that it stays free for short ones."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import PriorityQueue

from api.thread_priority import yield_to_others
from api.threads.worker import Heartbeat, Stage

NUM_HANDS = 2
# A prompt goes as if it had come this much later for each of its characters: shorter ones overtake it, and
# it overtakes what comes long after it.
_SECONDS_PER_CHAR = 1e-6


@dataclass(order=True, slots=True)
class _Task:
    due_seconds: float
    number: int
    work: Callable[[], None] | None = field(compare=False)  # None: the hand's end


class LongWork:
    """What waits for a hand. Any thread puts work in."""

    def __init__(self) -> None:
        self._tasks: PriorityQueue[_Task] = PriorityQueue()
        self._numbers = itertools.count()

    def put(self, work: Callable[[], None], num_chars: int) -> None:
        due_seconds = time.monotonic() + num_chars * _SECONDS_PER_CHAR
        self._tasks.put(_Task(due_seconds, next(self._numbers), work))

    def put_end(self) -> None:
        """Ends one hand, before all work that waits."""
        self._tasks.put(_Task(0.0, next(self._numbers), None))

    def get(self) -> Callable[[], None] | None:
        return self._tasks.get().work


class Hand:
    """One thread's body: does the work, which raises nothing."""

    def __init__(self, index: int, work: LongWork) -> None:
        self._work = work
        self.heartbeat = Heartbeat(f"reader-{index}")

    def run(self) -> None:
        yield_to_others()
        while (work := self._work.get()) is not None:
            self.heartbeat.beat()
            work()
            self.heartbeat.rest()


def hand_stages() -> tuple[LongWork, list[tuple[Stage, Callable[[], None]]]]:
    """Returns where work is put, and each hand with what ends it."""
    work = LongWork()
    return work, [(Hand(index, work), work.put_end) for index in range(NUM_HANDS)]
