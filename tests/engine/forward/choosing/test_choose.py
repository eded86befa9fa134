from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

from api.config import ForwardChoice
from api.engine.forward.attention.attention import fused_attention
from api.errors import StartupError
from api.step_plan import Slot, Span, StepPlan
from tests.engine.tiny_models import (
    FLAT,
    GROUPED,
    PADDED,
    WINDOW,
    choose,
)


@pytest.mark.parametrize("name", FLAT)
def test_the_self_check_picks_flat(name: str) -> None:
    chosen, lines = choose(name)
    assert chosen.forward.name == "flat"
    assert lines == ["Forward: flat (self-check: equal to the plain model)"]


@pytest.mark.parametrize("name", GROUPED)
def test_recurrent_state_gets_the_grouped_step(name: str) -> None:
    chosen, lines = choose(name)
    assert chosen.forward.name == "grouped"
    assert lines[0] == "Forward: not flat (a layer keeps recurrent state)"
    assert lines[1] == "Forward: grouped (self-check: equal to the plain model)"
    assert chosen.has_slots and not chosen.can_copy and not chosen.can_rewind


@pytest.mark.parametrize("name", PADDED)
def test_what_neither_step_reproduces_gets_the_fallback(name: str) -> None:
    chosen, lines = choose(name)
    assert chosen.forward.name.startswith("padded")
    assert [line.split(" (")[0] for line in lines[:2]] == ["Forward: not flat", "Forward: not grouped"]
    assert lines[2].startswith("Forward: padded")
    assert not chosen.has_slots
    assert chosen.slot_bytes(100) > 0


def test_the_fallback_can_be_asked_for() -> None:
    chosen, lines = choose("llama", "padded")
    assert chosen.forward.name == "padded"
    assert lines == ["Forward: padded (mlx-lm's own caches)"]


@pytest.mark.parametrize(("name", "demanded"), [("mamba2", "flat"), ("gpt_bigcode", "grouped")])
def test_what_would_be_wrong_is_refused_on_demand(name: str, demanded: ForwardChoice) -> None:
    with pytest.raises(StartupError, match=f"--forward {demanded}"):
        choose(name, demanded)


def test_the_grouped_step_can_be_asked_for_where_there_is_no_state() -> None:
    chosen, lines = choose("llama", "grouped")
    assert chosen.forward.name == "grouped" and len(lines) == 1
    assert chosen.can_copy and not chosen.can_rewind and chosen.state_bytes == 0


def test_the_bytes_of_a_state_do_not_depend_on_the_tokens() -> None:
    chosen, _ = choose("lfm2")
    state_bytes = 2 * (4 - 1) * 64 * 4  # layers, tokens that a convolution looks back, hidden size, float32
    bytes_per_token = 2 * 2 * 2 * 16 * 4  # layers, keys and values, heads, dimension, float32
    assert chosen.state_bytes == state_bytes
    assert [chosen.slot_bytes(n) for n in (1, 256)] == [state_bytes + n * bytes_per_token for n in (1, 256)]


def test_latents_take_no_more_than_mlx_lms_own_caches() -> None:
    chosen, _ = choose("deepseek_v3")
    assert chosen.slot_bytes(256) == 256 * 4 * (16 + 16) * 4  # layers, latent and rotary key, float32


def test_a_slot_of_full_attention_costs_its_capacity() -> None:
    chosen, _ = choose("llama")
    bytes_per_token = 4 * 2 * 2 * 16 * 4  # layers, keys and values, heads, dimension, float32
    assert [chosen.slot_bytes(n) for n in (1, 256, 1000)] == [n * bytes_per_token for n in (1, 256, 1000)]


def test_windowed_layers_cost_no_more_than_their_window_a_chunk_and_what_is_saved_late() -> None:
    chosen, _ = choose("gemma3", max_step_tokens=200)
    bytes_per_token = 2 * 2 * 16 * 4
    num_full, num_windowed, saved_late = 2, 2, 192 + 64
    kept = WINDOW + 200 + saved_late
    assert chosen.slot_bytes(512) == bytes_per_token * (num_full * 512 + num_windowed * kept)


def test_the_bytes_are_those_of_the_arrays() -> None:
    chosen, _ = choose("gemma3", max_step_tokens=24)
    span = Span(0, Slot(256, 0), 0, (1, 2), True, 0)
    chosen.forward(StepPlan(spans=(span,), num_slots=((256, 3),)), mx.array([1, 2]))
    assert sum(array.nbytes for array in chosen.forward.state()) == 3 * chosen.slot_bytes(256)


def test_a_device_whose_attention_is_wrong_gets_mlx_lms_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(queries: mx.array, keys: mx.array, values: mx.array, *rest: Any) -> mx.array:
        return fused_attention(queries, keys, values * 1.1, *rest)

    monkeypatch.setattr("api.engine.forward.choosing.choose.choose_attention", lambda platform: wrong)
    chosen, lines = choose("llama")
    assert chosen.forward.name == "grouped"
    assert "rows differ" in lines[0]
