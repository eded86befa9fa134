"""Values over time: a log-scaled histogram for percentiles and a window for rates."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

_NUM_STEPS = 48  # to a decade, each 5 % more: a percentile is exact to half of this


def _log_bounds(first_decade: int, num_decades: int) -> tuple[float, ...]:
    """Of engineers' E48 series: round numbers, and 1, 3.16, 10 among them."""
    mantissas = [round(10 ** (step / _NUM_STEPS), 2) for step in range(_NUM_STEPS)]
    decades = range(first_decade, first_decade + num_decades)
    return (*(float(f"{each}e{decade}") for decade in decades for each in mantissas), 10.0**decades.stop)


SECONDS_BOUNDS = _log_bounds(-5, 9)  # from 10 us to 10,000 s
COUNT_BOUNDS = tuple(float(2**power) for power in range(18))  # rows and tokens of a step


class Histogram:
    """Counts of values in buckets, by default seconds in buckets that grow by 5 %.

    Fixed size, not thread-safe.
    """

    __slots__ = ("_bounds", "_counts", "count", "max_seconds", "total_seconds")

    def __init__(self, bounds: tuple[float, ...] = SECONDS_BOUNDS) -> None:
        """A bucket holds what is above the bound before and not above its own."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.count = 0
        self.total_seconds = 0.0
        self.max_seconds = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.count += 1
        self.total_seconds += seconds
        if seconds > self.max_seconds:
            self.max_seconds = seconds

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
                return min(self._middle(index), self.max_seconds)
        return 0.0

    def _middle(self, index: int) -> float:
        if index == len(self._bounds):
            return self.max_seconds
        return math.sqrt(self._bounds[max(0, index - 1)] * self._bounds[index])

    def cumulated(self, bounds: Iterable[float]) -> list[tuple[float, int]]:
        """For some of its bounds, how many values do not exceed each. Exact."""
        return [(bound, sum(self._counts[: bisect_left(self._bounds, bound) + 1])) for bound in bounds]

    def copy(self) -> Histogram:
        other = Histogram(self._bounds)
        other._counts = self._counts.copy()
        other.count, other.total_seconds, other.max_seconds = self.count, self.total_seconds, self.max_seconds
        return other

    def snapshot(self) -> dict[str, float]:
        """Returns mean, max and percentiles in seconds, with the number of values."""
        percentiles = {f"p{round(q * 100)}": round(self.percentile(q), 6) for q in (0.5, 0.9, 0.99)}
        rounded = {"mean": round(self.mean_seconds, 6), "max": round(self.max_seconds, 6)}
        return {"count": self.count, **rounded, **percentiles}


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
