"""min_p, top_k and top_p over the whole vocabulary: what is less likely than a threshold weighs nothing.

Weights are positive float32 numbers up to 1, ``[rows, parts, columns]``. Their bits, read as integers, have
the same order, and to keep those from a threshold on is then a subtraction, a shift and an "and": MLX's
comparisons and selections take several times as long on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

from api.engine.sampling.candidates import top_candidates
from api.engine.sampling.row_parts import row_sums

# A weight with no bit from here on is under 1e-19 and adds nothing to any sum.
_LEAST = 1 << 29
# The bits of a threshold that are searched for, from the highest one that a number up to 1 has besides. They
# leave it open by 0.8 % of itself.
_FIRST_BIT = 28
_LAST_BIT = 16
# Weights so close to each other that are told apart; of more, all are kept.
_NUM_NEAR = 32
# However small top_p is, the best token, whose weight is 1, is kept.
_LEAST_MASS = 1e-30


def keep_min_p(weights: mx.array, min_ps: Sequence[float]) -> mx.array:
    """Drops what is less likely than ``min_p`` times the best token, whose weight is 1."""
    if not any(min_ps):
        return weights
    bits = weights.view(mx.int32)
    return _keep_above(_per_row(min_ps).view(mx.int32) - 1, bits, bits)


def keep_top_k(weights: mx.array, top_ks: Sequence[int]) -> mx.array:
    """Keeps the ``top_k`` best, more only where they tie; 0 is all. May write into ``weights``."""
    rows = [row for row, top_k in enumerate(top_ks) if top_k > 0]
    if not rows:
        return weights
    part = _take(weights, rows)
    bits, ones = part.view(mx.int32), mx.ones_like(part).view(mx.int32)
    target = _per_row([float(top_ks[row]) for row in rows])
    return _replace(weights, rows, _keep_above(_bound(bits, ones, target), bits, bits))


def keep_top_p(weights: mx.array, top_ps: Sequence[float]) -> mx.array:
    """Keeps the smallest set of best tokens with ``top_p`` of what is left. May write into ``weights``."""
    rows = [row for row, top_p in enumerate(top_ps) if top_p < 1]
    if not rows:
        return weights
    part = _take(weights, rows)
    bits = part.view(mx.int32)
    target = mx.maximum(_per_row([top_ps[row] for row in rows]) * row_sums(part), _LEAST_MASS)
    return _replace(weights, rows, _keep_above(_bound(bits, bits, target), bits, bits))


def _bound(bits: mx.array, counted: mx.array, target: mx.array) -> mx.array:
    """The largest bound above which ``counted`` still sums to ``target``, int32 ``[rows, 1, 1]``.

    Built bit by bit; where even all is not enough, what lies above is all that counts.
    """
    bound = mx.full(target.shape, _LEAST - 1, dtype=mx.int32)
    for bit in range(_FIRST_BIT, _LAST_BIT - 1, -1):
        higher = bound + (1 << bit)
        is_enough = row_sums(_keep_above(higher, bits, counted)) >= target
        bound = mx.where(is_enough, higher, bound)
    return mx.maximum(bound, _exact_bound(bound + (1 << _LAST_BIT), bits, counted, target))


def _exact_bound(upper: mx.array, bits: mx.array, counted: mx.array, target: mx.array) -> mx.array:
    """The bound if it is just under one of the ``_NUM_NEAR`` best weights up to ``upper``, else 0."""
    lighter = bits.view(mx.float32) - _keep_above(upper, bits, bits)
    near, _ = top_candidates(lighter.flatten(1), _NUM_NEAR)
    steps = near if counted is bits else (near > 0).astype(mx.float32)
    mass = row_sums(_keep_above(upper, bits, counted))[:, 0] + mx.cumsum(steps, axis=-1)
    index = mx.sum(mass < target[:, 0], axis=-1, keepdims=True)
    least = mx.take_along_axis(near, mx.minimum(index, near.shape[-1] - 1), axis=-1)
    return mx.where(index < near.shape[-1], least.view(mx.int32) - 1, 0)[:, None]


def _keep_above(bound: mx.array, bits: mx.array, counted: mx.array) -> mx.array:
    """Float32 ``counted`` where ``bits`` are above ``bound`` (int32 ``[rows, 1, 1]``), else 0."""
    is_kept = (bound - bits) >> 31  # the sign of the difference, in all bits
    return (counted & is_kept).view(mx.float32)


def _per_row(values: Sequence[float]) -> mx.array:
    return mx.array(list(values), dtype=mx.float32)[:, None, None]


def _take(weights: mx.array, rows: list[int]) -> mx.array:
    return weights if len(rows) == weights.shape[0] else weights[mx.array(rows)]


def _replace(weights: mx.array, rows: list[int], part: mx.array) -> mx.array:
    if len(rows) == weights.shape[0]:
        return part
    weights[mx.array(rows)] = part
    return weights
