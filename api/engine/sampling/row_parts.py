"""Sums and maxima over the vocabulary, much faster than along a row.

MLX adds and compares whole lines of a matrix, but reduces a single line one number after another. So each
row of the vocabulary is looked at as ``[_NUM_PARTS, columns]``: first the parts are added up, column by
column, and then there are few numbers left.
"""

from __future__ import annotations

import mlx.core as mx

_NUM_PARTS = 64


def in_parts(scores: mx.array) -> mx.array:
    """``[rows, vocabulary]`` to ``[rows, parts, columns]``; -inf follows where the vocabulary ends."""
    if missing := -scores.shape[-1] % _NUM_PARTS:
        scores = mx.pad(scores, [(0, 0), (0, missing)], constant_values=-mx.inf)
    return scores.reshape(scores.shape[0], _NUM_PARTS, -1)


def row_maxima(parts: mx.array) -> mx.array:
    """``[rows, 1, 1]``."""
    return mx.max(mx.max(parts, axis=1, keepdims=True), axis=-1, keepdims=True)


def row_sums(parts: mx.array) -> mx.array:
    """``[rows, 1, 1]``."""
    return mx.sum(mx.sum(parts, axis=1, keepdims=True), axis=-1, keepdims=True)
