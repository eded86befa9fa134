from __future__ import annotations

import mlx.core as mx
import pytest

from api.engine.forward.attention import choose_attention, fused_attention, grouped_attention
from tests.engine.tiny_models import gpu_like_platform, platform


def random_inputs(
    batch: int, num_heads: int, num_kv_heads: int, num_queries: int, length: int
) -> tuple[mx.array, mx.array, mx.array]:
    mx.random.seed(1)
    queries = mx.random.normal((batch, num_heads, num_queries, 16)) * 2
    keys = mx.random.normal((batch, num_kv_heads, length, 16))
    return queries, keys, mx.random.normal((batch, num_kv_heads, length, 16))


def causal(num_queries: int, length: int, window: int | None = None) -> mx.array:
    rows, columns = mx.arange(length - num_queries, length)[:, None], mx.arange(length)[None]
    visible = columns <= rows
    return visible if window is None else visible & (columns > rows - window)


# The last is large enough for the functions that the CPU backend gets for large arrays.
SHAPES = [(1, 4, 4, 7, 7), (3, 9, 3, 1, 20), (2, 8, 2, 5, 33), (4, 4, 1, 3, 9), (3, 9, 3, 24, 60)]


@pytest.mark.parametrize("has_sinks", [False, True])
@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_grouped_attention_equals_mlx_own(
    shape: tuple[int, int, int, int, int], window: int | None, has_sinks: bool
) -> None:
    queries, keys, values = random_inputs(*shape)
    sinks = mx.random.normal((shape[1],)) if has_sinks else None
    mask = causal(shape[3], shape[4], window)
    got = grouped_attention(platform())(queries, keys, values, 0.25, mask, sinks)
    wanted = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=0.25, mask=mask, sinks=sinks)
    assert mx.allclose(got, wanted, atol=1e-5)


def test_a_mask_for_each_row_of_the_batch() -> None:
    queries, keys, values = random_inputs(3, 6, 2, 1, 10)
    mask = (mx.arange(10)[None] <= mx.array([2, 9, 0])[:, None])[:, None, None]
    got = grouped_attention(platform())(queries, keys, values, 0.25, mask, None)
    for row, length in enumerate((3, 10, 1)):
        part = slice(row, row + 1)
        wanted = fused_attention(
            queries[part], keys[part, :, :length], values[part, :, :length], 0.25, None, None
        )
        assert mx.allclose(got[part], wanted, atol=1e-5)


def test_scores_far_from_zero_do_not_overflow() -> None:
    queries, keys, values = random_inputs(2, 4, 2, 20, 60)
    mask = causal(20, 60)
    got = grouped_attention(platform())(queries * 1e3, keys, values, 1.0, mask, None)
    wanted = fused_attention(queries * 1e3, keys, values, 1.0, mask, None)
    assert mx.allclose(got, wanted, atol=1e-3)


def test_a_gpu_runs_mlx_own_kernel() -> None:
    assert choose_attention(gpu_like_platform()) is fused_attention
