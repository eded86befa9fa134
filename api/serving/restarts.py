"""When a worker that ended gets a successor."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_SHORT_LIFE_SECONDS = 10.0
_WINDOW_SECONDS = 600.0
_MAX_SHORT_LIVES = 5  # of each worker within the window
_MAX_PAUSE_SECONDS = 30.0


class RestartPolicy:
    """Replaces what has served before, ever more slowly where it soon ends again, and not for ever.

    A worker that ends before it served would only do so again. One that served may have met the one
    request that kills it; that may come once more, and the next one is all right.
    """

    def __init__(self, num_workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_short_lives = _MAX_SHORT_LIVES * num_workers
        self._clock = clock
        self._short_lives: deque[float] = deque()  # when they ended
        self.has_served = False  # whether any worker has

    def pause_seconds(self, uptime_seconds: float | None) -> float | None:
        """Called once for each worker that ended: how long to wait for a new one; None: give up.

        ``uptime_seconds``: since the worker began to serve; None: it never did.
        """
        self.has_served |= uptime_seconds is not None
        if uptime_seconds is not None and uptime_seconds >= _SHORT_LIFE_SECONDS:
            return 0.0
        self._short_lives.append(self._clock())
        while self._short_lives[0] <= self._clock() - _WINDOW_SECONDS:
            self._short_lives.popleft()
        num_short = len(self._short_lives)
        if not self.has_served or num_short > self._max_short_lives:
            return None
        return min(_MAX_PAUSE_SECONDS, 2.0 ** (num_short - 1))
