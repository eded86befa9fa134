"""Prompts whose tokens' logprobs are wanted: every row of them is computed, and told once."""

from __future__ import annotations

import pytest

from api.types import FinishReason
from tests.engine.factories import GREEDY, MAX_SCORED_ROWS, SCORING, Loop, create_loop, create_sequence
from tests.engine.fake_generator import FakeGenerator

pytestmark = pytest.mark.usefixtures("tiny_classes")


def scored_ids(loop: Loop[FakeGenerator], sequence_id: int) -> list[int]:
    spans = (span for plan in loop.plans for span in plan.spans if span.sequence_id == sequence_id)
    return [token_id for span in spans for token_id in span.scored_ids]


def test_each_token_but_the_first_is_scored_once_in_steps_of_limited_size() -> None:
    loop = create_loop(max_step_tokens=32)
    sequence = create_sequence(num_prompt_tokens=40, max_tokens=3, sampling=SCORING)
    loop.add(sequence)
    loop.finish()
    assert scored_ids(loop, 1) == sequence.token_ids[1:40]
    sizes = [len(span.scored_ids) for plan in loop.plans for span in plan.spans if span.scored_ids]
    assert sizes == [12, 12, 12, 3]


@pytest.mark.parametrize("num_prompt_tokens", [1, 2, MAX_SCORED_ROWS + 1, 40])
def test_an_answer_of_no_tokens_ends_with_the_prompt(num_prompt_tokens: int) -> None:
    loop = create_loop(max_step_tokens=32)
    loop.add(create_sequence(1, num_prompt_tokens, max_tokens=0, sampling=SCORING))
    loop.add(create_sequence(2, num_prompt_tokens, max_tokens=0, eos_token_ids=range(40)))
    loop.finish()
    for result in loop.results.values():
        assert (result.finish_reason, result.token_ids) == (FinishReason.LENGTH, [])


def test_nobody_else_waits_for_the_rows_that_may_be_scored() -> None:
    loop = create_loop(max_step_tokens=64)
    for number in (1, 2):
        loop.add(create_sequence(number, 30, sampling=SCORING))
    loop.add(create_sequence(3, 20))
    plan = loop.step()
    assert {span.sequence_id: span.num_tokens for span in plan.spans} == {1: MAX_SCORED_ROWS, 3: 20}
    loop.finish()


def test_a_cached_prefix_is_computed_again() -> None:
    loop = create_loop(cached_tokens=400)
    prompt = [3, 1, 4, 1, 5, 9, 2, 6] * 4
    for number, sampling in enumerate((GREEDY, SCORING, GREEDY), 1):
        loop.add(create_sequence(number, prompt=prompt, sampling=sampling))
        loop.finish()
    assert [loop.results[f"r{number}"].num_cached_tokens for number in (1, 2, 3)] == [0, 0, 28]


def test_nobody_is_waited_for_whose_rows_are_needed_anyway() -> None:
    loop = create_loop(cached_tokens=400)
    prompt = [3, 1, 4, 1, 5, 9, 2, 6] * 6
    for number in (1, 2):
        loop.add(create_sequence(number, prompt=prompt, sampling=SCORING))
    plan = loop.step()
    assert loop.scheduler.stats().num_running == 2 and plan.spans
    loop.finish()


def test_choices_of_one_prompt_score_it_each() -> None:
    loop = create_loop()
    for index in range(3):
        loop.add(
            create_sequence(
                1 + index, 20, request_number=1, choice_index=index, sampling=SCORING, prompt=range(20)
            )
        )
    loop.finish()
    assert all(len(result.prompt_logprobs) == 19 for result in loop.results.values())


def test_preemption_neither_loses_nor_repeats_any() -> None:
    loop = create_loop(budget_tokens=80, max_step_tokens=16)
    for number in (1, 2, 3, 4):
        loop.add(create_sequence(number, 14 + number, max_tokens=20, sampling=SCORING))
    loop.finish()
    assert loop.scheduler.stats().num_preemptions > 0
    for number in (1, 2, 3, 4):
        assert len(loop.results[f"r{number}"].prompt_logprobs) == 13 + number


@pytest.mark.parametrize("num_steps", range(2, 6))
def test_a_step_that_raises_loses_none(num_steps: int) -> None:
    """The first answers while the second one's prompt is prefilled, so nobody can be blamed."""
    loop = create_loop(max_step_tokens=16)
    loop.add(create_sequence(1, 10, max_tokens=9, sampling=SCORING))
    loop.add(create_sequence(2, 60, sampling=SCORING))
    for _ in range(num_steps):
        loop.step()
    loop.generator.fails_next = True
    loop.finish()
    assert [len(result.prompt_logprobs) for result in loop.results.values()] == [9, 59]
