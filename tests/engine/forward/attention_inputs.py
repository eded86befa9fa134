"""Random inputs for attention, and masks of a window."""

from __future__ import annotations

import mlx.core as mx

from api.engine.forward.attention.mask import AttentionMask


def random_inputs(
    batch: int, num_heads: int, num_kv_heads: int, num_queries: int, length: int, head_dim: int = 16
) -> tuple[mx.array, mx.array, mx.array]:
    mx.random.seed(1)
    queries = mx.random.normal((batch, num_heads, num_queries, head_dim)) * 2
    keys = mx.random.normal((batch, num_kv_heads, length, head_dim))
    return queries, keys, mx.random.normal((batch, num_kv_heads, length, head_dim))


def windowed(num_queries: int, length: int, window: int) -> AttentionMask:
    """The rows are the last of the keys, and see ``window`` of them."""
    rows, columns = mx.arange(length - num_queries, length)[:, None], mx.arange(length)[None]
    visible = (columns <= rows) & (columns > rows - window)
    return AttentionMask(num_queries, length, lambda: visible[None, None])
