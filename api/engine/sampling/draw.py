"""Draws tokens by an exponential race, from what top_k, top_p and min_p leave.

Each token of a row has a waiting time, exponentially distributed with its weight as the rate, and the
first one wins: token ``i`` with probability ``weight[i] / sum(weights)``. (The Gumbel-max trick without its
logarithms.) The times come from the row's own stream, a number for each token, so the same seed gives the
same tokens whoever the neighbours are, and the rounding of logits, which does depend on them, only matters
where two tokens arrive at the same moment. One number for the row and the inverse of the distribution would
cost less, but there all boundaries between tokens move with every rounding: a seed would not hold.

Filters apply in the order min_p, top_k, top_p, each to what those before it left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx

from api.engine.device.noise import noise_of
from api.engine.sampling.filters import (
    in_parts,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    row_maxima,
    top_candidates,
)
from api.engine.sampling.state import Row
from api.types import SamplingParams

# Rows that keep no more tokens than this draw from their best ones, and the vocabulary is left alone.
MAX_CANDIDATES = 128
# Greedy for all purposes; further down 1 / temperature leaves the range of a float32.
_LOWEST_TEMPERATURE = 1e-6
# What is further below the best token weighs nothing, before its weight would be a denormal number.
_LEAST_ARGUMENT = -66.0
_LEAST_MIN_P = 1e-28


def has_few_candidates(sampling: SamplingParams) -> bool:
    return 0 < sampling.top_k <= MAX_CANDIDATES


def draw_from_candidates(scores: mx.array, rows: Sequence[Row]) -> mx.array:
    """``scores``: float32 logits ``[rows, vocabulary]``; each row ``has_few_candidates``. Returns int32 ids.

    So few weights that MLX's own ``exp`` will do on every device.
    """
    values, token_ids = top_candidates(scores, MAX_CANDIDATES)
    weights = mx.exp(mx.maximum((values - values[:, :1]) / _temperatures(rows), _LEAST_ARGUMENT))
    is_kept = mx.arange(values.shape[-1]) < mx.array([[row.sampling.top_k] for row in rows])
    is_kept = is_kept & (weights >= _column([max(row.sampling.min_p, _LEAST_MIN_P) for row in rows]))
    weights = mx.where(is_kept, weights, 0.0)
    better = mx.cumsum(weights, axis=-1, inclusive=False)
    top_p = _column([row.sampling.top_p for row in rows])
    weights = mx.where(better < top_p * mx.sum(weights, axis=-1, keepdims=True), weights, 0.0)
    winner = mx.argmax(weights / noise_of(rows, token_ids), axis=-1, keepdims=True)
    return mx.take_along_axis(token_ids, winner, axis=-1)[:, 0]


def draw_from_vocabulary(
    scores: mx.array, rows: Sequence[Row], noise: mx.array, exp: Callable[[mx.array], mx.array]
) -> mx.array:
    """``scores``: float32 logits ``[rows, vocabulary]``. Returns token ids, int32 ``[rows]``."""
    parts = in_parts(scores)
    scale = 1.0 / _temperatures(rows)
    weights = exp((parts - row_maxima(parts)) * scale[:, None])
    weights = keep_min_p(weights, [row.sampling.min_p for row in rows])
    weights = keep_top_k(weights, [row.sampling.top_k for row in rows])
    weights = keep_top_p(weights, [row.sampling.top_p for row in rows])
    weights = weights.reshape(len(rows), -1)[:, : scores.shape[-1]]
    return mx.argmax(weights / noise, axis=-1).astype(mx.int32)


def _column(values: Sequence[float]) -> mx.array:
    return mx.array(list(values), dtype=mx.float32)[:, None]


def _temperatures(rows: Sequence[Row]) -> mx.array:
    return _column([max(row.sampling.temperature, _LOWEST_TEMPERATURE) for row in rows])
