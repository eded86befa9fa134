from __future__ import annotations

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.engine.forward.attention import cpu as module
from api.engine.forward.attention.attention import fused_attention
from api.engine.forward.attention.cpu import cpu_attention
from api.engine.forward.attention.mask import AttentionMask
from tests.engine.forward.attention_inputs import random_inputs, windowed


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 16 to 32 keys, so that few keys make several."""
    monkeypatch.setattr(module, "_TILE_SCORES", 1)
    monkeypatch.setattr(module, "_FEWEST_TILE_KEYS", 16)
    monkeypatch.setattr(module, "_KEY_MULTIPLE", 16)


def mlx_own(
    queries: mx.array, keys: mx.array, values: mx.array, mask: mx.array | None, sinks: mx.array | None
) -> mx.array:
    return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=0.25, mask=mask, sinks=sinks)


# Ends of tiles that fit and that do not; the last is large enough for the functions that large arrays get.
SHAPES = [
    (1, 4, 4, 7, 7),
    (3, 9, 3, 1, 20),
    (2, 8, 2, 5, 33),
    (4, 4, 1, 3, 96),
    (1, 6, 2, 40, 41),
    (3, 9, 3, 24, 160),
]


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("has_sinks", [False, True])
@pytest.mark.parametrize("window", [None, 4, 30])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_equals_mlx_own(
    shape: tuple[int, int, int, int, int], window: int | None, has_sinks: bool
) -> None:
    queries, keys, values = random_inputs(*shape)
    sinks = mx.random.normal((shape[1],)) if has_sinks else None
    mask = AttentionMask(*shape[3:]) if window is None else windowed(*shape[3:], window)
    got = cpu_attention(queries, keys, values, 0.25, mask, sinks)
    assert mx.allclose(got, mlx_own(queries, keys, values, mask.visible(), sinks), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    num_queries=st.integers(1, 300),
    before=st.integers(0, 700),
    repeats=st.integers(1, 4),
    window=st.none() | st.integers(1, 400),
)
def test_it_equals_mlx_own_in_tiles_of_the_usual_size(
    num_queries: int, before: int, repeats: int, window: int | None
) -> None:
    length = before + num_queries
    queries, keys, values = random_inputs(1, 2 * repeats, 2, num_queries, length)
    mask = windowed(num_queries, length, window) if window else AttentionMask(num_queries, length)
    got = cpu_attention(queries, keys, values, 0.25, mask, None)
    assert mx.allclose(got, mlx_own(queries, keys, values, mask.visible(), None), atol=1e-5)


@pytest.mark.usefixtures("small_tiles")
def test_a_mask_for_each_row_of_the_batch() -> None:
    queries, keys, values = random_inputs(3, 6, 2, 1, 100)
    visible = (mx.arange(100)[None] <= mx.array([2, 99, 40])[:, None])[:, None, None]
    got = cpu_attention(queries, keys, values, 0.25, AttentionMask(1, 100, lambda: visible), None)
    for row, length in enumerate((3, 100, 41)):
        part = slice(row, row + 1)
        wanted = mlx_own(queries[part], keys[part, :, :length], values[part, :, :length], None, None)
        assert mx.allclose(got[part], wanted, atol=1e-5)


@pytest.mark.usefixtures("small_tiles")
def test_scores_far_from_zero_do_not_overflow() -> None:
    queries, keys, values = random_inputs(2, 4, 2, 20, 60)
    mask = AttentionMask(20, 60)
    got = cpu_attention(queries * 1e3, keys, values, 1.0, mask, None)
    wanted = fused_attention(queries * 1e3, keys, values, 1.0, mask, None)
    assert mx.allclose(got, wanted, atol=1e-3)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision_stays_so(dtype: mx.Dtype) -> None:
    inputs = [array.astype(dtype) for array in random_inputs(1, 4, 2, 30, 300)]
    mask = AttentionMask(30, 300)
    got = cpu_attention(*inputs, 0.25, mask, None)
    assert got.dtype == dtype
    assert mx.allclose(got, mlx_own(*inputs, mask.visible(), None), atol=0.03)


def peak_bytes(length: int) -> int:
    queries, keys, values = random_inputs(1, 4, 1, 256, length, head_dim=8)
    mx.eval(queries, keys, values)
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(cpu_attention(queries, keys, values, 0.25, AttentionMask(256, length), None))
    return mx.get_peak_memory() - before


def test_memory_does_not_grow_with_the_number_of_keys() -> None:
    assert peak_bytes(40_000) < 1.3 * peak_bytes(10_000)
