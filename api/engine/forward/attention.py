"""Attention of query rows over slots of left-aligned KV, for the CPU backend and for GPUs."""

from __future__ import annotations

from typing import Protocol

import mlx.core as mx

from api.engine.platform import Platform

_ROW_MULTIPLE = 4  # rows that a matrix product on the CPU takes at a time


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
        num_rows = repeats * num_queries
        stacked = (queries * scale).reshape(batch, num_kv_heads, num_rows, head_dim)
        if num_queries == 1:
            stacked = _padded(stacked)
        scores = (stacked @ keys.swapaxes(-1, -2)).astype(mx.float32)
        if mask is not None:
            scores = _masked(scores, mask, num_queries)
        per_row = None if sinks is None else _per_row(sinks, num_kv_heads, num_queries, scores.shape[2])
        weights, total = _softmax(scores, per_row, platform)
        out = (weights.astype(values.dtype) @ values) / total.astype(values.dtype)
        return out[:, :, :num_rows].reshape(batch, num_heads, num_queries, -1)

    return attend


def _padded(rows: mx.array) -> mx.array:
    """Adds rows of zeros up to a multiple of four: a product with three rows takes longer than with four."""
    missing = -rows.shape[2] % _ROW_MULTIPLE
    return mx.pad(rows, [(0, 0), (0, 0), (0, missing), (0, 0)]) if missing else rows


def _masked(scores: mx.array, mask: mx.array, num_queries: int) -> mx.array:
    """``scores [B, kv_heads, rows, L]``, the rows of each query head behind one another."""
    if num_queries == 1:
        return mx.where(mask, scores, -mx.inf)
    by_head = scores.reshape(scores.shape[0], -1, num_queries, scores.shape[3])
    return mx.where(mask, by_head, -mx.inf).reshape(scores.shape)


def _per_row(sinks: mx.array, num_kv_heads: int, num_queries: int, num_rows: int) -> mx.array:
    """``sinks [heads]`` as one value for each row of the scores, ``[1, kv_heads, num_rows, 1]``."""
    rows = mx.repeat(sinks.reshape(num_kv_heads, -1), num_queries, axis=1)
    padded = mx.pad(rows, [(0, 0), (0, num_rows - rows.shape[1])])
    return padded[None, :, :, None].astype(mx.float32)


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
