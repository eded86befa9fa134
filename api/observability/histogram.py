"""Durations over time: a log-scaled histogram for percentiles and a window for rates."""

from __future__ import annotations

import math
from collections import deque

_MIN_SECONDS = 1e-5
_GROWTH = 1.05  # a percentile is exact to half of this: 2.5 %
_NUM_BUCKETS = 450  # reaches 1e-5 * 1.05**450, about 34,000 s
_LOG_GROWTH = math.log(_GROWTH)


class Histogram:
    """Counts of seconds in buckets that grow by 5 %. Fixed size, not thread-safe."""

    __slots__ = ("_counts", "count", "max_seconds", "total_seconds")

    def __init__(self) -> None:
        self._counts = [0] * _NUM_BUCKETS
        self.count = 0
        self.total_seconds = 0.0
        self.max_seconds = 0.0

    def add(self, seconds: float) -> None:
        self._counts[_bucket(seconds)] += 1
        self.count += 1
        self.total_seconds += seconds
        self.max_seconds = max(self.max_seconds, seconds)

    @property
    def mean_seconds(self) -> float:
        return self.total_seconds / self.count if self.count else 0.0

    def percentile(self, fraction: float) -> float:
        """Returns the seconds that ``fraction`` of the values do not exceed; 0 when empty."""
        rank = max(1, math.ceil(fraction * self.count))
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                middle = _MIN_SECONDS * math.exp((index + 0.5) * _LOG_GROWTH)
                return min(middle, self.max_seconds)
        return 0.0

    def snapshot(self) -> dict[str, float]:
        """Returns mean, max and percentiles in seconds, with the number of values."""
        percentiles = {f"p{round(q * 100)}": round(self.percentile(q), 6) for q in (0.5, 0.9, 0.99)}
        rounded = {"mean": round(self.mean_seconds, 6), "max": round(self.max_seconds, 6)}
        return {"count": self.count, **rounded, **percentiles}


def _bucket(seconds: float) -> int:
    if seconds <= _MIN_SECONDS:
        return 0
    return min(int(math.log(seconds / _MIN_SECONDS) / _LOG_GROWTH), _NUM_BUCKETS - 1)


class RateWindow:
    """Events per second over the last ``window_seconds``, kept by whole seconds. Not thread-safe."""

    __slots__ = ("_seconds", "_window_seconds", "total")

    def __init__(self, window_seconds: int = 10) -> None:
        self._window_seconds = window_seconds
        self._seconds: deque[tuple[int, int]] = deque()  # (second, events in it), oldest first
        self.total = 0

    def add(self, count: int, now_seconds: float) -> None:
        if not count:
            return
        self.total += count
        second = int(now_seconds)
        if self._seconds and self._seconds[-1][0] == second:
            count += self._seconds.pop()[1]
        self._seconds.append((second, count))
        self._forget(now_seconds)

    def per_second(self, now_seconds: float) -> float:
        """Returns the rate since the window's first event: a burst that just began is not diluted."""
        self._forget(now_seconds)
        if not self._seconds:
            return 0.0
        elapsed = max(1.0, now_seconds - self._seconds[0][0])
        return sum(count for _, count in self._seconds) / elapsed

    def _forget(self, now_seconds: float) -> None:
        while self._seconds and self._seconds[0][0] <= now_seconds - self._window_seconds:
            self._seconds.popleft()
