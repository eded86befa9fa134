from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest

from api.engine.cpu import weight_order as cpu_layout
from api.engine.cpu.weight_order import turn_weights


class Model(nn.Module):
    def __init__(self, *, has_head: bool = True) -> None:
        super().__init__()
        self.up = nn.Linear(8, 24)
        self.half = nn.Linear(8, 24)
        self.half.set_dtype(mx.float16)
        self.packed = nn.QuantizedLinear(64, 32)
        self.embedding = nn.Embedding(16, 8)
        if has_head:
            self.head = nn.Linear(8, 16)


def measured(monkeypatch: pytest.MonkeyPatch, *, turned: float, plain: float) -> None:
    """Products take so many seconds, by the order of their weights."""

    def seconds(weights: Sequence[mx.array], inputs: dict[int, mx.array]) -> float:
        return turned if is_turned(weights[0]) else plain

    monkeypatch.setattr(cpu_layout, "_seconds", seconds)


def is_turned(weight: mx.array) -> bool:
    """NumPy shows an array's strides; MLX does not."""
    return bool(memoryview(weight).strides != memoryview(mx.contiguous(weight)).strides)


def create_model(*, has_head: bool = True) -> Any:
    model = Model(has_head=has_head)
    mx.eval(model.parameters())
    return model


def test_weights_keep_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, turned=0.8, plain=1.0)
    model, x = create_model(), mx.random.normal((3, 8))
    weight, out = mx.array(model.up.weight), model.up(x)
    assert turn_weights(model)
    assert is_turned(model.up.weight)
    assert mx.array_equal(model.up.weight, weight)
    assert mx.allclose(model.up(x), out, rtol=1e-5, atol=1e-6)


def test_only_plain_layers_in_full_precision_are_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, turned=0.8, plain=1.0)
    model = create_model()
    assert turn_weights(model)
    assert not is_turned(model.half.weight)
    assert not is_turned(model.packed.weight)
    assert not is_turned(model.embedding.weight)


def test_an_embedding_that_is_the_head_too_is_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, turned=0.8, plain=1.0)
    model, x = create_model(has_head=False), mx.random.normal((3, 8))
    ids = mx.array([[3], [0], [15]])
    looked_up, logits = model.embedding(ids), model.embedding.as_linear(x)
    assert turn_weights(model)
    assert is_turned(model.embedding.weight)
    assert mx.array_equal(model.embedding(ids), looked_up)
    assert mx.allclose(model.embedding.as_linear(x), logits, rtol=1e-5, atol=1e-6)


def test_the_head_is_measured_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(weights: Sequence[mx.array], inputs: dict[int, mx.array]) -> float:
        return 0.8 if is_turned(weights[0]) and weights[0].shape == (16, 8) else 1.0

    monkeypatch.setattr(cpu_layout, "_seconds", seconds)
    model = create_model(has_head=False)
    assert turn_weights(model)
    assert is_turned(model.embedding.weight)
    assert not is_turned(model.up.weight)


def test_of_a_large_head_a_part_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: set[tuple[int, ...]] = set()

    def seconds(weights: Sequence[mx.array], inputs: dict[int, mx.array]) -> float:
        tried.update(weight.shape for weight in weights)
        return 0.8 if is_turned(weights[0]) else 1.0

    monkeypatch.setattr(cpu_layout, "_seconds", seconds)
    monkeypatch.setattr(cpu_layout, "_TRIED_BYTES", 4 * 8 * 4)  # four rows
    model = create_model(has_head=False)
    assert turn_weights(model)
    assert (4, 8) in tried and (16, 8) not in tried
    assert is_turned(model.embedding.weight)


@pytest.mark.parametrize("turned", [0.99, 1.2])
def test_where_little_is_gained_all_stays(turned: float, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, turned=turned, plain=1.0)
    model = create_model()
    assert not turn_weights(model)
    assert not is_turned(model.up.weight)


def test_a_model_without_such_layers_is_left_alone() -> None:
    assert not turn_weights(nn.Sequential(nn.QuantizedLinear(64, 32)))


def test_it_is_measured() -> None:
    weights = [mx.random.normal((24, 8)), mx.random.normal((8, 24))]
    turned = [cpu_layout._turned(weight) for weight in weights]
    assert cpu_layout._ratio(weights, turned, num_rows=4) > 0
