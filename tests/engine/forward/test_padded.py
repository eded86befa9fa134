from __future__ import annotations

import mlx.core as mx
import pytest

from api.engine.forward.choosing.self_check import check_forward
from api.engine.forward.padded import PaddedForward
from api.step_plan import Slot, Span, StepPlan
from tests.engine.tiny_models import CONFIGS, VOCAB_SIZE, build_model

pytestmark = pytest.mark.device


def plan(*spans: tuple[int, int, int], released: tuple[int, ...] = ()) -> tuple[StepPlan, mx.array]:
    """Spans of ``(sequence, start, number of tokens)``; the tokens are sequence + position."""
    made = tuple(
        Span(i, Slot(64, i), start, tuple(range(i + start, i + start + n)), True, 0) for i, start, n in spans
    )
    return StepPlan(spans=made, released=released), mx.array([t for s in made for t in s.token_ids])


def plain_logits(name: str, sequence: int, num_tokens: int) -> mx.array:
    tokens = list(range(sequence, sequence + num_tokens))
    logits: mx.array = build_model(name)(mx.array([tokens]))
    return logits[0, -1]


@pytest.mark.parametrize("name", CONFIGS)
def test_one_row_at_a_time_reproduces_every_model(name: str) -> None:
    model = build_model(name)
    check_forward(model, PaddedForward(model, batches=False), VOCAB_SIZE)


def test_rows_join_leave_and_come_back() -> None:
    forward = PaddedForward(build_model("llama"), batches=True)
    steps = [
        plan((1, 0, 4), (2, 0, 7)),
        plan((1, 4, 1), (2, 7, 1)),
        plan((2, 8, 1), (3, 0, 3)),  # 1 waits
        plan((1, 5, 1), (2, 9, 1), (3, 3, 1)),
        plan((1, 6, 1), (3, 4, 2), released=(2,)),  # 3 prefills two tokens at once
        plan((1, 7, 1), (3, 6, 1)),
    ]
    for step, token_ids in steps:
        logits = forward(step, token_ids)
        assert logits.shape == (len(step.spans), VOCAB_SIZE)
        for row, span in zip(logits, step.spans, strict=True):
            wanted = plain_logits("llama", span.sequence_id, span.start + span.num_tokens)
            assert mx.allclose(row, wanted, atol=1e-4)


def test_only_rows_that_sample_give_logits() -> None:
    forward = PaddedForward(build_model("llama"), batches=True)
    span = Span(1, Slot(64, 0), 0, (1, 2, 3), False, 0)
    assert forward(StepPlan(spans=(span,)), mx.array([1, 2, 3])).shape[0] == 0


def test_released_and_reset_state_is_dropped() -> None:
    forward = PaddedForward(build_model("llama"), batches=True)
    for step, token_ids in (plan((1, 0, 4), (2, 0, 4)), plan((1, 4, 1), (2, 4, 1))):
        forward(step, token_ids)
    num_arrays = len(forward.state())
    forward(*plan(released=(1, 2)))
    assert num_arrays > 0 and forward.state() == []
    forward(*plan((3, 0, 2)))
    forward.reset()
    assert forward.state() == []
