"""The estimate beside what MLX says that steps take."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from api.engine.memory.step_estimate import StepSizes, widest_row
from api.step_plan import Slot, Span, StepPlan
from tests.engine.tiny_models import CONFIGS, FLAT, GROUPED, VOCAB_SIZE, build_model, choose, platform

NUM_ROWS = 256


def test_the_widest_row_is_of_the_widest_matrix_but_the_vocabularys() -> None:
    shapes = [(1000, 64), (192, 64), (64, 192), (64,), ()]
    assert widest_row(shapes, {}, vocab_size=1000) == 192
    assert widest_row([(5000, 64)], {}, vocab_size=1000) == 1
    assert widest_row([(96,)], {}, vocab_size=1000) == 96


@pytest.mark.parametrize("config", [{"num_experts_per_tok": 4}, {"text_config": {"moe_topk": 4}}])
def test_each_expert_of_a_token_makes_a_row(config: dict[str, object]) -> None:
    assert widest_row([(192, 64), (8, 100, 64)], config, vocab_size=1000) == 400


@pytest.mark.parametrize("name", [*FLAT, *GROUPED])
@pytest.mark.parametrize("start", [0, 512])
def test_no_step_takes_more_than_estimated(name: str, start: int) -> None:
    chosen, _ = choose(name, max_step_tokens=NUM_ROWS)
    shapes = [array.shape for _, array in tree_flatten(build_model(name).parameters())]
    sizes = StepSizes(
        num_rows=NUM_ROWS,
        num_sequences=1,
        num_sampled_rows=1,
        num_verified_rows=NUM_ROWS,
        row_width=widest_row(shapes, CONFIGS[name], VOCAB_SIZE),
        vocab_size=VOCAB_SIZE,
        attention_bytes=platform().attention_bytes,
        state_bytes=chosen.state_bytes,
    )
    slot, num_slots, limit = Slot(1024, 0), ((1024, 1),), mx.set_cache_limit(0)
    for first in range(0, start + 1, NUM_ROWS):  # the last chunk is the one that counts
        span = Span(0, slot, first, (1,) * NUM_ROWS, 1, 0)
        before_bytes = mx.get_active_memory()
        mx.reset_peak_memory()
        logits = chosen.forward(StepPlan(spans=(span,), num_slots=num_slots), mx.array(span.token_ids))
        mx.eval(logits, chosen.forward.state())
        peak_bytes = mx.get_peak_memory() - before_bytes
        del logits
    chosen.forward.reset()
    mx.set_cache_limit(limit)
    assert peak_bytes <= sizes.num_bytes + chosen.slot_bytes(1024)
