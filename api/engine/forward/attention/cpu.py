"""Attention for MLX's CPU backend: plain operations over tiles of the keys, with an online softmax."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mlx.core as mx

from api.engine.cpu.functions import exp_below
from api.engine.forward.attention.mask import AttentionMask

_ROW_MULTIPLE = 4  # rows that a matrix product takes at a time
# Scores in a tile. Larger ones fall out of the cache between the passes over them, and their memory comes
# from the system anew each time: the exponential alone took three times as long.
_TILE_SCORES = 1 << 19
_FEWEST_TILE_KEYS = 256  # products over fewer keys are less efficient
_KEY_MULTIPLE = 256
_LANES = 32
_MANY_SCORES = 1 << 15  # with fewer, an operation costs more than its arithmetic
_FEW_SCORES = 1 << 13  # with fewer, MLX's own softmax costs less than the operations that stand in for it


@dataclass(frozen=True, slots=True)
class _Partial:
    """A softmax under way, over the keys so far; weights are relative to the peak."""

    peak: mx.array  # [B, kv_heads, rows, 1]
    total: mx.array  # [B, kv_heads, rows, 1], the sum of the weights
    out: mx.array  # [B, kv_heads, rows, Dv], not normalised


def cpu_attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    scale: float,
    mask: AttentionMask | None,
    sinks: mx.array | None,
) -> mx.array:
    """``Attention`` with memory that does not grow with the number of keys.

    The queries that share a KV head are stacked, so there is one matrix product for each KV head
    instead of one for each query head. The softmax over tiles is that of Milakov and Gimelshein 2018.
    """
    batch, num_heads, num_queries, _ = queries.shape
    num_kv_heads = keys.shape[1]
    if num_queries == 1 and sinks is None and batch * num_heads * keys.shape[2] < _FEW_SCORES:
        return _attend_few(queries, keys, values, scale, mask)
    stacked = _stacked(queries, num_kv_heads, scale)
    partial = None
    for first, end in _tiles(keys.shape[2], batch * num_kv_heads * stacked.shape[2], num_queries):
        bias = None if mask is None else mask.bias(first, end)
        scores = _scores(stacked, keys[:, :, first:end], bias, num_queries)
        partial = _add_tile(partial, scores, values[:, :, first:end])
    assert partial is not None, "attention over no keys"
    if sinks is not None:
        partial = _add_sinks(partial, sinks, num_queries)
    out = partial.out / partial.total.astype(partial.out.dtype)
    return out[:, :, : num_heads // num_kv_heads * num_queries].reshape(batch, num_heads, num_queries, -1)


def _attend_few(
    queries: mx.array, keys: mx.array, values: mx.array, scale: float, mask: AttentionMask | None
) -> mx.array:
    """Single rows in as few operations as there can be."""
    batch, num_heads, _, head_dim = queries.shape
    stacked = (queries * scale).reshape(batch, keys.shape[1], -1, head_dim)
    scores = stacked @ keys.swapaxes(-1, -2)
    bias = None if mask is None else mask.bias(0, keys.shape[2])
    if bias is not None:
        scores = scores + bias
    weights = mx.softmax(scores.astype(mx.float32), axis=-1).astype(values.dtype)
    return (weights @ values).reshape(batch, num_heads, 1, -1)


def _tiles(num_keys: int, num_rows: int, num_queries: int) -> Iterator[tuple[int, int]]:
    """Ranges of keys, the last first; that one holds the causal rows' own keys."""
    fitting = _TILE_SCORES // num_rows // _KEY_MULTIPLE * _KEY_MULTIPLE
    size = max(fitting, _FEWEST_TILE_KEYS, num_queries)
    for end in range(num_keys, 0, -size):
        yield max(0, end - size), end


def _stacked(queries: mx.array, num_kv_heads: int, scale: float) -> mx.array:
    """``[B, kv_heads, rows, D]``, the rows of each query head behind one another.

    Single rows get rows of zeros up to a multiple of four: a product with three takes longer than with four.
    """
    batch, _, num_queries, head_dim = queries.shape
    stacked = (queries * scale).reshape(batch, num_kv_heads, -1, head_dim)
    missing = -stacked.shape[2] % _ROW_MULTIPLE if num_queries == 1 else 0
    return mx.pad(stacked, [(0, 0), (0, 0), (0, missing), (0, 0)]) if missing else stacked


def _scores(stacked: mx.array, keys: mx.array, bias: mx.array | None, num_queries: int) -> mx.array:
    """Float32 ``[B, kv_heads, rows, keys]``."""
    scores = (stacked @ keys.swapaxes(-1, -2)).astype(mx.float32)
    if bias is None or num_queries == 1:
        return scores if bias is None else scores + bias
    batch, num_kv_heads, _, num_keys = scores.shape
    by_head = scores.reshape(batch, num_kv_heads, -1, num_queries, num_keys)
    return (by_head + bias[:, None]).reshape(scores.shape)


def _add_tile(partial: _Partial | None, scores: mx.array, values: mx.array) -> _Partial:
    peak = _row_max(scores)
    if partial is not None:
        peak = mx.maximum(peak, partial.peak)
    weights = exp_below(scores, peak)
    total = _row_sum(weights)
    out = weights.astype(values.dtype) @ values
    if partial is None:
        return _Partial(peak, total, out)
    shrink = exp_below(partial.peak, peak)
    return _Partial(peak, total + partial.total * shrink, out + partial.out * shrink.astype(out.dtype))


def _add_sinks(partial: _Partial, sinks: mx.array, num_queries: int) -> _Partial:
    """A sink is a key whose value is nothing.

    It comes last: from a sink as the first peak, tiles whose keys are all hidden would make denormal numbers,
    as what is next to nothing beside the sink then is so again beside a key.
    """
    _, num_kv_heads, num_rows, _ = partial.peak.shape
    rows = mx.repeat(sinks.astype(mx.float32).reshape(num_kv_heads, -1), num_queries, axis=1)
    sink = mx.pad(rows, [(0, 0), (0, num_rows - rows.shape[1])])[None, :, :, None]
    peak = mx.maximum(partial.peak, sink)
    shrink = exp_below(partial.peak, peak)
    total = partial.total * shrink + exp_below(sink, peak)
    return _Partial(peak, total, partial.out * shrink.astype(partial.out.dtype))


def _row_max(scores: mx.array) -> mx.array:
    """``[..., 1]``. MLX vectorises a maximum over rows, but not one along a row: so that comes last."""
    if scores.size >= _MANY_SCORES and scores.shape[-1] % _LANES == 0:
        scores = mx.max(scores.reshape(*scores.shape[:-1], -1, _LANES), axis=-2)
    return mx.max(scores, axis=-1, keepdims=True)


def _row_sum(weights: mx.array) -> mx.array:
    """``[..., 1]``: as a product it takes a quarter of the time of a sum along rows."""
    if weights.size < _MANY_SCORES:
        return mx.sum(weights, axis=-1, keepdims=True)
    return weights @ mx.ones((weights.shape[-1], 1))
