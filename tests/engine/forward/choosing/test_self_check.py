from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest

from api.engine.forward import layout as layout_module
from api.engine.forward.attention.attention import choose_attention
from api.engine.forward.cache_kinds import describe_caches, kv_specs, make_caches
from api.engine.forward.choosing import self_check
from api.engine.forward.choosing.self_check import (
    SelfCheckError,
    check_forward,
    has_exact_float32,
    logit_tolerance,
)
from api.engine.forward.flat import FlatForward, FlatLayer, FlatMask
from api.engine.forward.kv.layer import LayerKV
from api.engine.forward.kv.ring_places import RowPlaces
from api.engine.forward.layout import StepLayout
from api.engine.forward.step_context import StepContext
from api.step_plan import StepPlan
from tests.engine.tiny_models import VOCAB_SIZE, build_model, platform

pytestmark = pytest.mark.device

Patch = pytest.MonkeyPatch


def windows_of(model: nn.Module) -> list[int | None]:
    return [spec.window for spec in kv_specs(describe_caches(make_caches(model)))]


def check(
    name: str, change: Callable[[FlatForward], Any] = lambda forward: forward, row_multiple: int = 1
) -> None:
    model = build_model(name)
    attention, step = choose_attention(platform()), StepContext()
    forward = FlatForward(model, windows_of(model), attention, step, 64, row_multiple)
    check_forward(model, change(forward), VOCAB_SIZE, has_slots=True)


def wrong_rope_offset(patch: Patch) -> None:
    patch.setattr(FlatLayer, "offset", property(lambda self: self._step.layout.positions * 0))


def rope_offset_one_late_for_single_rows(patch: Patch) -> None:
    def offset(layer: FlatLayer) -> mx.array:
        layout = layer._step.layout
        num_singles = sum(group.num_rows for group in layout.groups)
        return layout.positions + (mx.arange(layout.positions.size) < num_singles)

    patch.setattr(FlatLayer, "offset", property(offset))


def mask_one_too_long(patch: Patch) -> None:
    patch.setattr(layout_module.ChunkRows, "_sees_all", lambda self, window: False)
    patch.setattr(
        layout_module, "_visible", lambda stored, rows, window: (stored >= 0) & (stored <= rows + 1)
    )


def mask_one_too_short(patch: Patch) -> None:
    patch.setattr(layout_module, "_visible", lambda stored, rows, window: (stored >= 0) & (stored < rows))


def rows_written_to_a_neighbour(patch: Patch) -> None:
    original = LayerKV.write_rows

    def write_rows(self: LayerKV, capacity: int, places: RowPlaces, *rest: Any) -> None:
        last = self.keys[capacity].num_slots - 1
        original(self, capacity, RowPlaces(last - places.slots, places.positions), *rest)

    patch.setattr(LayerKV, "write_rows", write_rows)


def chunks_written_one_late(patch: Patch) -> None:
    original = LayerKV.write_chunk
    patch.setattr(
        LayerKV, "write_chunk", lambda self, slot, start, k, v: original(self, slot, start + 1, k, v)
    )


def answers_in_slot_order(patch: Patch) -> None:
    original = layout_module.make_layout

    def make_layout(plan: StepPlan, *how: Any) -> Any:
        layout = original(plan, *how)
        layout.selected = layout.selected[::-1]
        return layout

    patch.setattr("api.engine.forward.flat.make_layout", make_layout)


def positions_kept_while_nobody_joins(patch: Patch) -> None:
    layouts: list[StepLayout] = []

    def make_layout(plan: StepPlan, *how: Any) -> StepLayout:
        layout = layout_module.make_layout(plan, *how)
        if layouts and not layout.chunks and not layouts[-1].chunks:
            layout.positions = layouts[-1].positions
        layouts.append(layout)
        return layout

    patch.setattr("api.engine.forward.flat.make_layout", make_layout)


BREAKS = [
    wrong_rope_offset,
    rope_offset_one_late_for_single_rows,
    mask_one_too_long,
    mask_one_too_short,
    rows_written_to_a_neighbour,
    chunks_written_one_late,
    answers_in_slot_order,
    positions_kept_while_nobody_joins,
]


@pytest.mark.parametrize("row_multiple", [1, 4, 16])
@pytest.mark.parametrize("name", ["llama", "qwen3_moe", "gpt_oss"])
def test_a_sound_forward_passes(name: str, row_multiple: int) -> None:
    check(name, row_multiple=row_multiple)


@pytest.mark.parametrize("broken", BREAKS, ids=lambda f: f.__name__)
def test_a_broken_forward_is_found(broken: Callable[[Patch], None], monkeypatch: Patch) -> None:
    broken(monkeypatch)
    with pytest.raises(SelfCheckError, match="rows differ"):
        check("llama")


@pytest.mark.parametrize("name", ["gemma3", "gpt_oss"])
def test_a_window_that_is_ignored_is_found(name: str, monkeypatch: Patch) -> None:
    monkeypatch.setattr(FlatLayer, "make_mask", lambda self, *args, **kwargs: FlatMask(None))

    def without_windows(forward: FlatForward) -> FlatForward:
        for layer in forward._caches:
            layer._window = None
        return forward

    with pytest.raises(SelfCheckError, match="rows differ"):
        check(name, without_windows)


def test_sinks_that_are_ignored_are_found(monkeypatch: Patch) -> None:
    original = FlatLayer.attend

    def attend(
        self: FlatLayer, q: mx.array, k: mx.array, v: mx.array, scale: float, mask: Any, sinks: mx.array
    ) -> mx.array:
        return original(self, q, k, v, scale, mask, None)

    monkeypatch.setattr(FlatLayer, "attend", attend)
    with pytest.raises(SelfCheckError, match="rows differ"):
        check("gpt_oss")


def test_whatever_a_forward_raises_means_not_this_one() -> None:
    class Raising:
        name = "raising"
        num_resets = 0

        def __call__(self, plan: StepPlan, token_ids: mx.array) -> mx.array:
            raise IndexError("no such thing")

        def compute_saves(self) -> None: ...

        def state(self) -> list[mx.array]:
            return []

        def reset(self) -> None:
            self.num_resets += 1

    forward = Raising()
    with pytest.raises(SelfCheckError, match="IndexError: no such thing"):
        check_forward(build_model("llama"), forward, VOCAB_SIZE)
    assert forward.num_resets == 1


def test_nan_is_a_difference(monkeypatch: Patch) -> None:
    original = FlatForward.__call__
    monkeypatch.setattr(FlatForward, "__call__", lambda self, *args: original(self, *args) * mx.nan)
    with pytest.raises(SelfCheckError, match="rows differ"):
        check("llama")


def test_nothing_is_left_behind() -> None:
    kept: list[FlatForward] = []

    def keep(forward: FlatForward) -> FlatForward:
        kept.append(forward)
        return forward

    check("llama", keep)
    assert kept[0].state() == []


def test_half_precision_may_differ_a_little() -> None:
    model = build_model("llama")
    model.set_dtype(mx.bfloat16)
    on = replace(platform(), exp=mx.exp)
    forward = FlatForward(model, windows_of(model), choose_attention(on), StepContext(), 64)
    check_forward(model, forward, VOCAB_SIZE)


def rounded_to_tf32(array: mx.array) -> mx.array:
    """With 10 bits behind the point."""
    return ((array.view(mx.uint32) + 0x1000) & 0xFFFFE000).view(mx.float32)


def test_a_device_that_rounds_float32_is_found_out() -> None:
    assert has_exact_float32(lambda a, b: mx.matmul(a, b, stream=mx.cpu))
    assert not has_exact_float32(lambda a, b: mx.matmul(rounded_to_tf32(a), rounded_to_tf32(b)))


class Inexact:
    """A forward whose logits are off by a thousandth of themselves in places."""

    def __init__(self, forward: FlatForward, share: float) -> None:
        self._forward = forward
        self._share = share

    def __call__(self, plan: StepPlan, token_ids: mx.array) -> mx.array:
        logits = self._forward(plan, token_ids)
        return logits * (1 + self._share * mx.sin(mx.arange(logits.shape[-1])))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._forward, name)


@pytest.mark.parametrize(("is_exact", "share"), [(True, 1e-2), (False, 0.3)])
def test_a_forward_is_as_exact_as_the_device(monkeypatch: Patch, is_exact: bool, share: float) -> None:
    monkeypatch.setattr(self_check, "has_exact_float32", lambda: is_exact)
    check("llama", lambda forward: Inexact(forward, share / 100))  # type: ignore[arg-type,return-value]
    with pytest.raises(SelfCheckError, match="rows differ"):
        check("llama", lambda forward: Inexact(forward, share))  # type: ignore[arg-type,return-value]


def test_float32_that_is_rounded_counts_as_half_precision(monkeypatch: Patch) -> None:
    monkeypatch.setattr(self_check, "has_exact_float32", lambda: False)
    check("llama", lambda forward: Inexact(forward, 1e-2))  # type: ignore[arg-type,return-value]
    assert logit_tolerance(mx.float32) == logit_tolerance(mx.bfloat16)
