"""The best tokens of each row without sorting the vocabulary."""

from __future__ import annotations

import mlx.core as mx

# The vocabulary is looked at in blocks of this many tokens.
_BLOCK_SIZE = 32


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
