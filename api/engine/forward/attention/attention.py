"""Attention of query rows over slots of left-aligned KV: the interface, and MLX's own kernel."""

from __future__ import annotations

from typing import Protocol

import mlx.core as mx

from api.engine.device.platform import Platform
from api.engine.forward.attention.cpu import cpu_attention
from api.engine.forward.attention.mask import AttentionMask

# MLX has kernels for chunks of these head dimensions in half precision on Metal and CUDA alike.
_FUSED_HEAD_DIMS = (64, 72, 80, 96, 128)
# Otherwise it makes an array of all scores, which for a chunk at 100,000 tokens is gigabytes: so rows are
# computed a tile at a time, whose scores take about this much.
_MAX_SCORES_BYTES = 256 * 1024**2
_FEWEST_TILE_ROWS = 16


class Attention(Protocol):
    """One fused attention.

    ``queries [B, heads, N, D]``, ``keys [B, kv_heads, L, D]``, ``values [B, kv_heads, L, Dv]``, a ``mask``
    or None (all is seen), ``sinks [heads]`` or None. Returns ``[B, heads, N, Dv]``.
    """

    def __call__(
        self,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        scale: float,
        mask: AttentionMask | None,
        sinks: mx.array | None,
    ) -> mx.array: ...


def choose_attention(platform: Platform) -> Attention:
    return cpu_attention if platform.is_cpu else fused_attention


def fused_attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    scale: float,
    mask: AttentionMask | None,
    sinks: mx.array | None,
) -> mx.array:
    """MLX's own kernel, for some rows at a time where it has none and would make large arrays.

    Causal rows are told by name: no array of rows by keys is made then, and blocks that no row sees are
    skipped.
    """
    num_queries, num_keys = queries.shape[2], keys.shape[2]
    is_fused = _has_kernel(queries, values)
    outputs = []
    for rows in [slice(0, num_queries)] if is_fused else row_tiles(queries, keys, queries.itemsize):
        seen = num_keys - num_queries + rows.stop if mask is not None and mask.is_causal else num_keys
        outputs.append(
            mx.fast.scaled_dot_product_attention(
                queries[:, :, rows],
                keys[:, :, :seen],
                values[:, :, :seen],
                scale=scale,
                mask=_mlx_mask(mask, rows),
                sinks=sinks,
            )
        )
    return outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=2)


def row_tiles(queries: mx.array, keys: mx.array, score_bytes: int) -> list[slice]:
    """Covers the rows of the queries in order, so many at a time that their scores are no large array."""
    batch, num_heads, num_queries, _ = queries.shape
    fitting = _MAX_SCORES_BYTES // (batch * num_heads * keys.shape[2] * score_bytes)
    size = max(fitting, _FEWEST_TILE_ROWS)
    return [slice(first, min(first + size, num_queries)) for first in range(0, num_queries, size)]


def _has_kernel(queries: mx.array, values: mx.array) -> bool:
    head_dim = queries.shape[3]
    is_half = queries.dtype in (mx.float16, mx.bfloat16)
    return is_half and head_dim == values.shape[3] and head_dim in _FUSED_HEAD_DIMS


def _mlx_mask(mask: AttentionMask | None, rows: slice) -> mx.array | str | None:
    if mask is None:
        return None
    return "causal" if mask.is_causal else mask.visible()[..., rows, :]
