from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

from api.engine.forward.attention import attention
from api.engine.forward.attention.attention import choose_attention, fused_attention
from api.engine.forward.attention.cpu import cpu_attention
from api.engine.forward.attention.mask import AttentionMask
from tests.engine.forward.attention_inputs import random_inputs, windowed
from tests.engine.tiny_models import gpu_like_platform, platform


class Recorder:
    """MLX's kernel, and how it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, Any]] = []
        self._kernel = mx.fast.scaled_dot_product_attention

    def __call__(self, queries: mx.array, keys: mx.array, values: mx.array, **options: Any) -> mx.array:
        self.calls.append((queries.shape[2], keys.shape[2], options["mask"]))
        return self._kernel(queries, keys, values, **options)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", recorder)
    return recorder


def test_each_platform_has_its_attention() -> None:
    assert choose_attention(gpu_like_platform()) is fused_attention
    assert choose_attention(platform()) is cpu_attention


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_a_causal_chunk_is_one_kernel_that_is_told_so(recorder: Recorder, dtype: mx.Dtype) -> None:
    inputs = random_inputs(1, 4, 2, 48, 100, head_dim=64)
    fused_attention(*(array.astype(dtype) for array in inputs), 0.25, AttentionMask(48, 100), None)
    assert recorder.calls == [(48, 100, "causal")]


@pytest.mark.parametrize("has_sinks", [False, True])
@pytest.mark.parametrize("window", [None, 20])
def test_rows_without_a_kernel_go_a_few_at_a_time(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, window: int | None, has_sinks: bool
) -> None:
    queries, keys, values = random_inputs(1, 4, 2, 50, 100, head_dim=24)
    sinks = mx.random.normal((4,)) if has_sinks else None
    mask = AttentionMask(50, 100) if window is None else windowed(50, 100, window)
    wanted = fused_attention(queries, keys, values, 0.25, mask, sinks)
    assert len(recorder.calls) == 1
    monkeypatch.setattr(attention, "_MAX_SCORES_BYTES", 20 * 4 * 100 * 4)
    got = fused_attention(queries, keys, values, 0.25, mask, sinks)
    assert mx.allclose(got, wanted, atol=1e-6)
    seen = [70, 90, 100] if window is None else [100] * 3
    assert [call[:2] for call in recorder.calls[1:]] == list(zip((20, 20, 10), seen, strict=True))


def test_rows_that_see_everything_have_no_mask(recorder: Recorder) -> None:
    fused_attention(*random_inputs(2, 4, 2, 1, 9), 0.25, None, None)
    assert recorder.calls == [(1, 9, None)]
