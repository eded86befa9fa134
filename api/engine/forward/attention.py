"""Attention of query rows over slots of left-aligned KV, for the CPU backend and for GPUs."""

from __future__ import annotations

from typing import Protocol

import mlx.core as mx

from api.engine.platform import Platform


class Attention(Protocol):
    """One fused attention.

    ``queries [B, heads, N, D]``, ``keys [B, kv_heads, L, D]``, ``values [B, kv_heads, L, Dv]``, boolean
    ``mask`` broadcastable to ``[B, 1, N, L]`` (True: attend) or None, ``sinks [heads]`` or None.
    Returns ``[B, heads, N, Dv]``.
    """

    def __call__(
        self,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        scale: float,
        mask: mx.array | None,
        sinks: mx.array | None,
    ) -> mx.array: ...


def choose_attention(platform: Platform) -> Attention:
    return grouped_attention(platform) if platform.is_cpu else fused_attention


def fused_attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    scale: float,
    mask: mx.array | None,
    sinks: mx.array | None,
) -> mx.array:
    """MLX's own kernel."""
    return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask, sinks=sinks)


def grouped_attention(platform: Platform) -> Attention:
    """Attention in plain operations with the platform's ``exp``.

    The queries that share a KV head are stacked, so there is one matrix product for each KV head
    instead of one for each query head.
    """

    def attend(
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        scale: float,
        mask: mx.array | None,
        sinks: mx.array | None,
    ) -> mx.array:
        batch, num_heads, num_queries, head_dim = queries.shape
        num_kv_heads = keys.shape[1]
        repeats = num_heads // num_kv_heads
        stacked = (queries * scale).reshape(batch, num_kv_heads, repeats * num_queries, head_dim)
        scores = stacked @ keys.swapaxes(-1, -2)
        shape = scores.shape
        if mask is not None:
            rows = scores.reshape(batch, num_heads, num_queries, -1)
            scores = mx.where(mask, rows, -mx.inf).reshape(shape)
        per_row = None if sinks is None else _per_row(sinks, shape, repeats)
        weights, total = _softmax(scores.astype(mx.float32), per_row, platform)
        out = (weights.astype(values.dtype) @ values) / total.astype(values.dtype)
        return out.reshape(batch, num_heads, num_queries, -1)

    return attend


def _per_row(sinks: mx.array, shape: tuple[int, ...], repeats: int) -> mx.array:
    """``sinks [heads]`` as one value for each row of the scores ``[B, kv_heads, repeats * N, L]``."""
    num_queries = shape[2] // repeats
    grouped = mx.repeat(sinks.reshape(shape[1], repeats, 1), num_queries, axis=2)
    return grouped.reshape(1, shape[1], shape[2], 1).astype(mx.float32)


def _softmax(scores: mx.array, sinks: mx.array | None, platform: Platform) -> tuple[mx.array, mx.array]:
    """Unnormalised weights and their sums; each row must see at least one position."""
    peak = mx.max(scores, axis=-1, keepdims=True)
    if sinks is not None:
        peak = mx.maximum(peak, sinks)
    weights = platform.exp(scores - peak)
    total = mx.sum(weights, axis=-1, keepdims=True)
    if sinks is not None:
        total = total + platform.exp(sinks - peak)
    return weights, total
