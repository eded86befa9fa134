"""How long matrix products with few rows take, and whether filling them up to a multiple gains anything."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence

import mlx.core as mx

from api.engine.device.row_sizes import padded_rows

# Sizes of steps, with all that the multiples fill them up to.
ROWS = (3, 4, 5, 7, 8, 11, 12, 15, 16, 19, 20, 23, 24, 28, 30, 32, 37, 40, 44, 48, 53, 56, 60, 64)
_MOST_ROUNDS = 5
_LIMIT_SECONDS = 1.5
# More weights than a core's own caches hold: in a step, too, they come from farther away.
_LEAST_WEIGHT_BYTES = 16 * 1024**2
# Standard deviation of a time's logarithm where others use the machine: 20 percent up or down, evenly spread.
_NOISE = 0.2 / math.sqrt(3)
_CONFIDENCE = 2.0  # standard errors


def measure_row_seconds(
    shapes: Sequence[tuple[int, int]],
    rows: Sequence[int] = ROWS,
    dtype: mx.Dtype = mx.float32,
    limit_seconds: float = _LIMIT_SECONDS,
) -> dict[int, float]:
    """Seconds by rows of ``[rows, inputs] @ [outputs, inputs].T``, all ``shapes`` (outputs, inputs) together.

    The best of as many rounds as fit into the limit, at least one. Each round has all numbers of rows, so
    that a busy moment meets several. Belongs to the thread that owns MLX.
    """
    weights = _weights(shapes, dtype)
    _seconds(rows[-1], weights)  # the first time, memory comes from the system
    best = dict.fromkeys(rows, math.inf)
    end_seconds = time.perf_counter() + limit_seconds
    for index in range(_MOST_ROUNDS):
        if index and time.perf_counter() > end_seconds:
            break
        for num_rows in rows[:: -1 if index % 2 else 1]:
            best[num_rows] = min(best[num_rows], _seconds(num_rows, weights))
    return best


def _weights(shapes: Sequence[tuple[int, int]], dtype: mx.Dtype) -> list[mx.array]:
    num_bytes = sum(outputs * inputs for outputs, inputs in shapes) * dtype.size
    copies = math.ceil(_LEAST_WEIGHT_BYTES / num_bytes)
    weights = [mx.full(shape, 0.01, dtype=dtype) for _ in range(copies) for shape in shapes]
    mx.eval(weights)
    return weights


def _seconds(num_rows: int, weights: Iterable[mx.array]) -> float:
    inputs = {weight.shape[1]: mx.ones((num_rows, weight.shape[1]), dtype=weight.dtype) for weight in weights}
    mx.eval(list(inputs.values()))
    started_seconds = time.perf_counter()
    mx.eval([mx.matmul(inputs[weight.shape[1]], weight.T) for weight in weights])
    return time.perf_counter() - started_seconds


def best_row_multiple(
    seconds_by_rows: Mapping[int, float], candidates: Sequence[int] = (1, 4, 8, 16), guess: int = 1
) -> int:
    """The multiple that forwards are best filled up to; not the guess only where another clearly gains.

    Numbers of rows count alike if all that they would be filled up to was measured as well.
    """
    counted = [n for n in seconds_by_rows if all(padded_rows(n, m) in seconds_by_rows for m in candidates)]
    chosen, chosen_gain = guess, _gain(seconds_by_rows, counted, guess)
    for multiple in sorted(candidates):
        gain = _gain(seconds_by_rows, counted, multiple)
        if gain - chosen_gain > _doubt(counted, max(multiple, chosen)):
            chosen, chosen_gain = multiple, gain
    return chosen


def _gain(seconds_by_rows: Mapping[int, float], counted: Sequence[int], multiple: int) -> float:
    """By how much less time the steps take when they are filled up: the mean of the ratios' logarithms."""
    ratios = [seconds_by_rows[n] / seconds_by_rows[padded_rows(n, multiple)] for n in counted]
    return sum(map(math.log, ratios)) / max(1, len(ratios))


def _doubt(counted: Sequence[int], multiple: int) -> float:
    """What noise alone may look like: many numbers of rows hang on the few that they are filled up to."""
    num_filled = len({padded_rows(n, multiple) for n in counted})
    return _CONFIDENCE * _NOISE * math.sqrt(1 / num_filled + 1 / len(counted)) if counted else math.inf
