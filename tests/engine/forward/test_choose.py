from __future__ import annotations

from dataclasses import replace

import mlx.core as mx
import pytest

from api.engine.forward.choose import choose_forward
from api.errors import StartupError
from api.types import SamplingParams, Slot, Span, StepPlan
from tests.engine.tiny_models import FLAT, PADDED, VOCAB_SIZE, WINDOW, build_model, choose, platform


@pytest.mark.parametrize("name", FLAT)
def test_the_self_check_picks_flat(name: str) -> None:
    chosen, lines = choose(name)
    assert chosen.forward.name == "flat"
    assert lines == ["Forward: flat (self-check: equal to the plain model)"]


@pytest.mark.parametrize("name", PADDED)
def test_what_keeps_more_than_keys_and_values_gets_the_fallback(name: str) -> None:
    chosen, lines = choose(name)
    assert chosen.forward.name.startswith("padded")
    assert lines[0].startswith("Forward: not flat (") and lines[1].startswith("Forward: padded")
    assert chosen.slot_bytes(100) > 0


def test_the_fallback_can_be_asked_for() -> None:
    chosen, lines = choose("llama", "padded")
    assert chosen.forward.name == "padded"
    assert lines == ["Forward: padded (mlx-lm's own caches)"]


def test_flat_on_demand_is_refused_where_it_would_be_wrong() -> None:
    with pytest.raises(StartupError, match="--forward flat"):
        choose("mamba2", "flat")


def test_a_slot_of_full_attention_costs_its_capacity() -> None:
    chosen, _ = choose("llama")
    bytes_per_token = 4 * 2 * 2 * 16 * 4  # layers, keys and values, heads, dimension, float32
    assert [chosen.slot_bytes(n) for n in (1, 256, 1000)] == [n * bytes_per_token for n in (1, 256, 1000)]


def test_windowed_layers_cost_no_more_than_their_window_and_a_chunk() -> None:
    chosen, _ = choose("gemma3", max_step_tokens=24)
    bytes_per_token = 2 * 2 * 16 * 4
    num_full, num_windowed = 2, 2
    assert chosen.slot_bytes(512) == bytes_per_token * (num_full * 512 + num_windowed * (WINDOW + 24))


def test_the_bytes_are_those_of_the_arrays() -> None:
    chosen, _ = choose("gemma3", max_step_tokens=24)
    span = Span(0, Slot(256, 0), 0, (1, 2), True, 0, SamplingParams(temperature=0.0))
    chosen.forward(StepPlan(spans=(span,), num_slots=((256, 3),)), mx.array([1, 2]))
    assert sum(array.nbytes for array in chosen.forward.state()) == 3 * chosen.slot_bytes(256)


def test_a_device_whose_attention_is_wrong_gets_the_fallback() -> None:
    broken = replace(platform(), exp=lambda x: mx.ones_like(x))
    lines: list[str] = []
    chosen = choose_forward(build_model("llama"), broken, VOCAB_SIZE, 24, "auto", lines.append)
    assert chosen.forward.name == "padded"
    assert "rows differ" in lines[0]
