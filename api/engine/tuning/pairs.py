"""Which of two ways is faster, on a machine where others work as well."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

FEWEST_PAIRS = 3
LEAST_GAIN = 1.03  # less than this is not worth a change
_PAIRS_TO_ONE_LOST = 8  # who is better wins all pairs, but for one among so many: chance does so once in 50


@dataclass(frozen=True, slots=True)
class Comparison:
    """``gain``: how many times as long the guess takes as the other way, by the median of the pairs."""

    gain: float
    num_pairs: int
    num_wins: int  # pairs in which the other way was faster
    guess_seconds: float
    other_seconds: float

    @property
    def is_other_better(self) -> bool:
        is_sure = self.num_wins >= self.num_pairs - self.num_pairs // _PAIRS_TO_ONE_LOST
        return self.num_pairs >= FEWEST_PAIRS and is_sure and self.gain > LEAST_GAIN


def compare(
    guess: Callable[[], float],
    other: Callable[[], float],
    limit_seconds: float,
    max_pairs: int = 9,
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Times both in turns until the limit; each gives its seconds. At least three pairs, or none counts."""
    pairs: list[tuple[float, float]] = []
    started = clock()
    while len(pairs) < max_pairs:
        pairs.append((guess(), other()) if len(pairs) % 2 == 0 else (other(), guess())[::-1])
        used = clock() - started
        if used + used / len(pairs) > limit_seconds:
            break
    return Comparison(
        gain=median(first / second for first, second in pairs),
        num_pairs=len(pairs),
        num_wins=sum(1 for first, second in pairs if first > second),
        guess_seconds=median(first for first, _ in pairs),
        other_seconds=median(second for _, second in pairs),
    )
