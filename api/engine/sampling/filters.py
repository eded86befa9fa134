"""What the tokens of a whole vocabulary leave to be drawn from, found without sorting it.

Sums and maxima over parts of a row, the best tokens of each row, and on these min_p, top_k and top_p: what is
less likely than a threshold weighs nothing.

MLX adds and compares whole lines of a matrix, but reduces a single line one number after another. So each
row of the vocabulary is looked at as ``[_NUM_PARTS, columns]``: first the parts are added up, column by
column, and then there are few numbers left.

Weights are positive float32 numbers up to 1, ``[rows, parts, columns]``. Their bits, read as integers, have
the same order, and to keep those from a threshold on is then a subtraction, a shift and an "and": MLX's
comparisons and selections take several times as long on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

_NUM_PARTS = 64
# The vocabulary is looked at in blocks of this many tokens.
_BLOCK_SIZE = 32
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


# --- over parts of a row -------------------------------------------------------------------------


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


# --- the best of each row ------------------------------------------------------------------------


def top_candidates(scores: mx.array, count: int) -> tuple[mx.array, mx.array]:
    """The ``count`` best of each row of ``scores [rows, vocabulary]``: scores and token ids, best first.

    Exact: the ``count`` best tokens lie in no more than ``count`` blocks, and those are the blocks with the
    best maxima. So one pass over the vocabulary finds the blocks, and the rest is small.
    """
    vocab_size = scores.shape[-1]
    count = min(count, vocab_size)
    token_ids = mx.broadcast_to(mx.arange(vocab_size, dtype=mx.int32), scores.shape)
    if vocab_size > 2 * count * _BLOCK_SIZE:
        scores, token_ids = _best_blocks(scores, count)
    best = mx.argpartition(scores, kth=-count, axis=-1)[:, -count:]
    values = mx.take_along_axis(scores, best, axis=-1)
    order = mx.argsort(values, axis=-1)[:, ::-1]
    ids = mx.take_along_axis(token_ids, best, axis=-1)
    return mx.take_along_axis(values, order, axis=-1), mx.take_along_axis(ids, order, axis=-1)


def _best_blocks(scores: mx.array, count: int) -> tuple[mx.array, mx.array]:
    """Scores and token ids of the ``count`` blocks with the best maxima, and of what fills no block."""
    num_rows, vocab_size = scores.shape
    num_blocked = vocab_size - vocab_size % _BLOCK_SIZE
    blocks = scores[:, :num_blocked].reshape(num_rows, -1, _BLOCK_SIZE)
    chosen = mx.argpartition(mx.max(blocks, axis=-1), kth=-count, axis=-1)[:, -count:, None]
    values = mx.take_along_axis(blocks, chosen, axis=1).reshape(num_rows, -1)
    token_ids = chosen.astype(mx.int32) * _BLOCK_SIZE + mx.arange(_BLOCK_SIZE, dtype=mx.int32)
    token_ids = token_ids.reshape(num_rows, -1)
    if num_blocked == vocab_size:
        return values, token_ids
    rest = mx.broadcast_to(
        mx.arange(num_blocked, vocab_size, dtype=mx.int32), (num_rows, vocab_size - num_blocked)
    )
    return (
        mx.concatenate([values, scores[:, num_blocked:]], axis=-1),
        mx.concatenate([token_ids, rest], axis=-1),
    )


# --- min_p, top_k, top_p -------------------------------------------------------------------------


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
