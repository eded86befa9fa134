from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest

from api.engine.forward.attention.attention import choose_attention
from api.engine.forward.backbone import select_backbone_rows
from api.engine.forward.flat import FlatForward, FlatLayer
from api.engine.forward.grouped import GroupedForward
from api.engine.forward.layout import StepLayout, make_layout
from api.engine.forward.step_context import StepContext
from api.step_plan import Slot, Span, StepPlan
from tests.engine.tiny_models import FLAT, build_model, choose, platform

PROMPT = Span(0, Slot(64, 0), 0, (5, 6, 7), 1, 0)
PLAN = StepPlan(num_slots=((64, 1),), spans=(PROMPT,))
TOKENS = mx.array([5, 6, 7], dtype=mx.int32)


def layout() -> StepLayout:
    return make_layout(PLAN)


def test_the_rows_are_there_while_a_step_is_under_way() -> None:
    step, rows = StepContext(), layout()
    assert not step.is_running
    with step.running(rows, selected=(0, 1)):
        assert step.is_running
        assert step.layout is rows and step.selected == (0, 1)
    assert not step.is_running and step.selected is None
    with pytest.raises(AttributeError):
        _ = step.layout


def test_a_step_that_raises_is_over_too() -> None:
    step = StepContext()
    with pytest.raises(ZeroDivisionError), step.running(layout(), selected=0):
        _ = 1 / 0
    assert not step.is_running and step.selected is None
    with step.running(layout()):
        assert step.is_running


def test_a_model_computes_one_step_at_a_time() -> None:
    step, rows = StepContext(), layout()
    with step.running(rows), pytest.raises(RuntimeError, match="under way"), step.running(layout()):
        pass
    with step.running(rows, selected=1):
        with pytest.raises(RuntimeError), step.running(layout()):
            pass
        assert step.layout is rows and step.selected == 1


class Raising:
    """A model that notes what its caches say, then fails."""

    def __init__(self) -> None:
        self.positions: list[Any] = []

    def __call__(self, token_ids: mx.array, cache: Any) -> mx.array:
        self.positions.append([layer.offset for layer in cache if hasattr(layer, "attend")])
        raise ValueError("an unusual shape")


def flat_layers(forward: FlatForward) -> list[FlatLayer]:
    return [layer for layer in forward._caches if isinstance(layer, FlatLayer)]


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_all_layers_ask_the_same_object(name: str) -> None:
    forward = choose(name, "flat")[0].forward
    assert isinstance(forward, FlatForward)
    assert {id(layer._step) for layer in flat_layers(forward)} == {id(forward._step)}
    mx.eval(forward(PLAN, TOKENS))
    assert not forward._step.is_running


def test_a_flat_step_that_raises_leaves_no_rows_behind() -> None:
    forward = choose("llama", "flat")[0].forward
    assert isinstance(forward, FlatForward)
    forward._model = model = Raising()  # type: ignore[assignment]
    with pytest.raises(ValueError, match="unusual"):
        forward(PLAN, TOKENS)
    [positions] = model.positions
    assert [array.tolist()[:3] for array in positions] == [[0, 1, 2]] * FLAT["llama"]["num_hidden_layers"]
    assert not forward._step.is_running and forward._step.selected is None


def test_a_grouped_step_that_raises_leaves_no_rows_behind() -> None:
    forward = choose("lfm2", "grouped")[0].forward
    assert isinstance(forward, GroupedForward)
    forward._model = Raising()  # type: ignore[assignment]
    with pytest.raises(ValueError, match="unusual"):
        forward(PLAN, TOKENS)
    assert not forward._step.is_running and forward._step.selected is None


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(2, 2)]

    def __call__(self, hidden: mx.array) -> mx.array:
        return hidden * 2


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = Backbone()

    def __call__(self, hidden: mx.array) -> Any:
        return self.model(hidden)


def test_the_backbone_returns_the_rows_that_a_step_selects() -> None:
    model, step = Model(), StepContext()
    select_backbone_rows(model, step)
    assert step.is_selected_by_backbone
    hidden = mx.arange(6).reshape(3, 1, 2)
    with step.running(layout(), mx.array([2, 0])):
        assert model(hidden).tolist() == [[[8, 10]], [[0, 2]]]
    with step.running(layout()):
        assert model(hidden).tolist() == (hidden * 2).tolist()
    assert model(hidden).tolist() == (hidden * 2).tolist()
    assert isinstance(model.model, Backbone)


def test_a_model_without_a_backbone_stays_as_it_is() -> None:
    step = StepContext()
    select_backbone_rows(nn.Linear(2, 2), step)
    assert not step.is_selected_by_backbone


@pytest.mark.parametrize("is_selected_by_backbone", [False, True])
def test_where_no_backbone_selects_the_forward_does(is_selected_by_backbone: bool) -> None:
    model, step = build_model("llama"), StepContext()
    plain: mx.array = model(TOKENS[None])
    if is_selected_by_backbone:
        select_backbone_rows(model, step)
    windows: list[int | None] = [None] * len(model.layers)
    logits = FlatForward(model, windows, choose_attention(platform()), step, 64)(PLAN, TOKENS)
    assert logits.shape == (1, plain.shape[-1])
    assert mx.allclose(logits, plain[:, -1], atol=1e-4)
