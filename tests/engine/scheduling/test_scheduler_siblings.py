"""Several answers to one prompt: it is prefilled once, its KV is copied."""

from __future__ import annotations

import random

import pytest

from api.engine.scheduling.scheduler import Scheduler
from api.step_plan import Span
from api.types import FinishReason
from tests.engine.factories import Loop, create_budget, create_loop, create_memory, create_sequence
from tests.engine.fake_generator import FakeClock, FakeGenerator

pytestmark = pytest.mark.usefixtures("tiny_classes")

FakeLoop = Loop[FakeGenerator]


def add_choices(
    loop: FakeLoop, num_choices: int, num_prompt_tokens: int = 20, max_tokens: int = 4, first_id: int = 1
) -> None:
    for index in range(num_choices):
        loop.add(
            create_sequence(
                first_id + index, num_prompt_tokens, max_tokens, request_number=first_id, choice_index=index
            )
        )


def spans_of(loop: FakeLoop, sequence_id: int) -> list[Span]:
    return [span for plan in loop.plans for span in plan.spans if span.sequence_id == sequence_id]


def num_prompt_rows(loop: FakeLoop) -> int:
    return sum(s.num_tokens for plan in loop.plans for s in plan.spans if s.sample_index == 0)


def num_moves(loop: FakeLoop) -> int:
    return sum(len(plan.moves) for plan in loop.plans)


def test_a_prompt_is_prefilled_once_for_all_its_choices() -> None:
    loop = create_loop()
    add_choices(loop, num_choices=3)
    loop.finish()
    assert num_prompt_rows(loop) == 20 + 2  # each further choice needs the last token's logits
    assert all(result.finish_reason is FinishReason.LENGTH for result in loop.results.values())


def test_choices_wait_while_their_prompt_is_being_prefilled() -> None:
    loop = create_loop(max_step_tokens=6)
    add_choices(loop, num_choices=2)
    loop.finish()
    first_of_second = spans_of(loop, 2)[0]
    assert (first_of_second.start, first_of_second.num_tokens) == (19, 1)
    assert len([s for s in spans_of(loop, 1) if s.sample_index == 0]) == 4


def test_the_first_span_after_a_copy_tells_the_tokens_before_it() -> None:
    loop = create_loop()
    add_choices(loop, num_choices=2)
    loop.finish()
    first, *others = spans_of(loop, 2)
    assert first.known_ids == tuple(loop.sequences["r1#1"].token_ids[:19])
    assert not any(span.known_ids for span in (*others, *spans_of(loop, 1)))


def test_a_choice_copies_from_any_that_still_runs() -> None:
    loop = create_loop(max_batch_size=2)
    add_choices(loop, num_choices=6, max_tokens=3)
    loop.finish()
    assert num_prompt_rows(loop) <= 2 * 20 + 4  # where both rows end at once, nobody is left to copy from


def test_a_choice_that_comes_when_all_others_have_gone_prefills_for_itself() -> None:
    loop = create_loop(max_batch_size=1)
    add_choices(loop, num_choices=2)
    loop.finish()
    assert num_prompt_rows(loop) == 40
    assert num_moves(loop) == 0


def test_a_sibling_that_has_written_more_than_a_step_since_is_no_source() -> None:
    """Its layers with a window may have overwritten the prompt's end."""
    loop = create_loop(max_batch_size=2, max_step_tokens=20)
    add_choices(loop, num_choices=1, max_tokens=40)
    loop.add(create_sequence(9, 30, 30))
    add_later = create_sequence(2, 20, 4, request_number=1, choice_index=1)
    loop.add(add_later)
    loop.finish()
    assert spans_of(loop, 2)[0].start == 0


def test_without_slots_that_can_be_copied_each_choice_prefills() -> None:
    clock, memory = FakeClock(), create_memory()
    memory.can_copy = False
    loop = Loop(Scheduler(memory, create_budget(), 8, clock), memory, FakeGenerator(clock))
    add_choices(loop, num_choices=3)
    loop.finish()
    assert num_prompt_rows(loop) == 60
    assert num_moves(loop) == 0


def test_one_choice_is_cancelled_alone() -> None:
    loop = create_loop()
    add_choices(loop, num_choices=3)
    loop.step()
    loop.step()
    loop.cancel("r1", choice_index=1)
    assert [result.is_done for result in loop.results.values()] == [False, True, False]
    loop.finish()


def test_the_same_text_in_another_request_or_prompt_is_not_shared() -> None:
    loop = create_loop()
    prompt = list(range(20))
    loop.add(create_sequence(1, prompt=prompt))
    loop.add(create_sequence(2, prompt=prompt))
    other = create_sequence(3, prompt=prompt, request_number=1, choice_index=1)
    other.prompt_index = 1
    loop.add(other)
    loop.finish()
    assert num_prompt_rows(loop) == 60


def test_the_answer_of_a_copy_is_saved_too() -> None:
    loop = create_loop(cached_tokens=200, block_tokens=4)
    add_choices(loop, num_choices=2, max_tokens=30)
    while loop.sequences["r1#1"].num_computed < 22:
        loop.step()
    loop.cancel("r1", 0)
    loop.finish()
    history = loop.sequences["r1#1"].token_ids
    loop.add(create_sequence(9, prompt=[*history, 1, 2, 3], max_tokens=2))
    loop.finish()
    assert loop.results["r9"].num_cached_tokens == (len(history) - 1) // 4 * 4


def test_a_copy_of_a_slot_that_this_plan_was_to_fill_does_not_outlive_its_preemption() -> None:
    """Found by random search: the loads are taken back with the sequence, and nothing may copy from it."""
    draw, clock = random.Random(1249), FakeClock()
    loop = create_loop(
        clock=clock,
        budget_tokens=draw.randint(40, 120),
        context_length=40,
        max_step_tokens=draw.choice([8, 32]),
        cached_tokens=draw.choice([24, 40, 64]),
        block_tokens=4,
    )
    number = 0
    for request in range(1, draw.randint(3, 7)):
        num_prompt_tokens, num_choices = draw.choice([5, 9, 13, 13, 17]), draw.choice([1, 1, 2, 3])
        for index in range(num_choices):
            number += 1
            sequence = create_sequence(
                number,
                num_prompt_tokens,
                max_tokens=draw.randint(2, 16),
                request_number=request,
                choice_index=index,
                arrival_seconds=clock.now,
            )
            loop.add(sequence)
        for _ in range(draw.randint(0, 6)):
            loop.step()
    loop.finish()
