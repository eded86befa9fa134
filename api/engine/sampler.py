"""Draws the next tokens of a batch: every parameter is an array with one entry for each row.

Greedy rows take an argmax. The others draw by inverse CDF from one uniform number each, which comes
from the row's own counter-based stream: the same seed gives the same tokens whoever the neighbours are.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from api.engine.platform import Platform
from api.types import Span

# Logits this far under the best one have no weight worth drawing.
_RANGE = 50.0
# Halvings of that range: the threshold is exact to 1e-6, the spacing of float32 logits.
_NUM_HALVINGS = 26
# Greedy for all purposes; further down 1 / temperature leaves the range of a float32.
_LOWEST_TEMPERATURE = 1e-6
# The largest uniform number that stays under 1 when multiplied by a float32 sum.
_LARGEST_UNIFORM = 1 - 2**-20


class Sampler:
    """Samples on the device; the result can feed the next step before it is read."""

    def __init__(self, platform: Platform) -> None:
        self._exp = platform.exp

    def __call__(self, logits: mx.array, spans: Sequence[Span]) -> mx.array:
        """``logits [rows, vocabulary]``, one span for each row. Returns token ids, int32 ``[rows]``."""
        drawn = [row for row, span in enumerate(spans) if not span.sampling.is_greedy]
        if len(drawn) == len(spans):
            return self._draw(logits, spans)
        tokens = mx.argmax(logits, axis=-1).astype(mx.int32)
        if drawn:
            rows = mx.array(drawn)
            tokens[rows] = self._draw(logits[rows], [spans[row] for row in drawn])
        return tokens

    def _draw(self, logits: mx.array, spans: Sequence[Span]) -> mx.array:
        temperature = _column([max(span.sampling.temperature, _LOWEST_TEMPERATURE) for span in spans])
        scores = logits.astype(mx.float32)
        scores = (scores - mx.max(scores, axis=-1, keepdims=True)) / temperature
        scores = mx.maximum(scores, -_RANGE)
        weights = self._exp(scores)
        weights = _keep_min_p(weights, spans)
        weights = _keep_top_k(scores, weights, spans)
        weights = _keep_top_p(scores, weights, spans)
        cumulative = mx.cumsum(weights, axis=-1)
        target = _column([uniform(span) for span in spans]) * cumulative[:, -1:]
        tokens = mx.sum(cumulative <= target, axis=-1).astype(mx.int32)
        return mx.minimum(tokens, logits.shape[-1] - 1)  # logits that are no numbers leave no weight at all


def uniform(span: Span) -> float:
    """The span's number in [0, 1): numpy's Philox keyed by the seed, its counter the token's index."""
    bits = np.random.Philox(key=span.sampling.seed % 2**64, counter=span.sample_index)
    return min(float(np.random.Generator(bits).random()), _LARGEST_UNIFORM)


def _column(values: Sequence[float]) -> mx.array:
    return mx.array(list(values), dtype=mx.float32)[:, None]


def _keep_min_p(weights: mx.array, spans: Sequence[Span]) -> mx.array:
    """Drops what is less likely than ``min_p`` times the best token, whose weight is 1."""
    if all(span.sampling.min_p == 0 for span in spans):
        return weights
    return mx.where(weights >= _column([span.sampling.min_p for span in spans]), weights, 0.0)


def _keep_top_k(scores: mx.array, weights: mx.array, spans: Sequence[Span]) -> mx.array:
    """Keeps the ``top_k`` best; more only where they tie."""
    if all(span.sampling.top_k == 0 for span in spans):
        return weights
    vocab_size = scores.shape[-1]
    target = _column([min(span.sampling.top_k or vocab_size, vocab_size) for span in spans])
    return mx.where(scores >= _threshold(scores, mx.ones_like(scores), target), weights, 0.0)


def _keep_top_p(scores: mx.array, weights: mx.array, spans: Sequence[Span]) -> mx.array:
    """Keeps the smallest set of best tokens with ``top_p`` of what the filters before left."""
    if all(span.sampling.top_p == 1 for span in spans):
        return weights
    target = _column([span.sampling.top_p for span in spans]) * mx.sum(weights, axis=-1, keepdims=True)
    return mx.where(scores >= _threshold(scores, weights, target), weights, 0.0)


def _threshold(scores: mx.array, weights: mx.array, target: mx.array) -> mx.array:
    """The largest score above which (inclusive) the weights still sum to ``target``, by bisection."""
    low = mx.full(target.shape, -_RANGE)
    high = mx.full(target.shape, 1e-6)
    for _ in range(_NUM_HALVINGS):
        middle = (low + high) * 0.5
        mass = mx.sum(mx.where(scores >= middle, weights, 0.0), axis=-1, keepdims=True)
        is_enough = mass >= target
        low = mx.where(is_enough, middle, low)
        high = mx.where(is_enough, high, middle)
    return low
