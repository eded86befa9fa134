"""Slots that lie scattered are moved together before anybody has to go."""

from __future__ import annotations

import pytest

from api.step_plan import Slot, SlotMove
from tests.engine.factories import Loop, create_loop, create_sequence
from tests.engine.fake_generator import FakeGenerator

pytestmark = pytest.mark.usefixtures("tiny_classes")

NUM_CHATS = 8


def left_alone(budget_tokens: int, max_tokens: int, cached_tokens: int = 0) -> Loop[FakeGenerator]:
    """Of as many short chats as there are places, the last one is going to be long; the others end."""
    loop = create_loop(budget_tokens=budget_tokens, context_length=200, cached_tokens=cached_tokens)
    for number in range(1, NUM_CHATS + 1):
        is_last = number == NUM_CHATS
        loop.add(create_sequence(number, num_prompt_tokens=4, max_tokens=max_tokens if is_last else 4))
    loop.step()
    assert loop.sequences[f"r{NUM_CHATS}"].slot == Slot(8, NUM_CHATS - 1)
    return loop


@pytest.mark.parametrize("cached_tokens", [0, 16])
def test_a_chat_left_alone_in_a_high_slot_grows_without_being_preempted(cached_tokens: int) -> None:
    loop = left_alone(budget_tokens=NUM_CHATS * 8, max_tokens=20, cached_tokens=cached_tokens)
    loop.finish()
    assert loop.scheduler.stats().num_preemptions == 0
    assert any(plan.compactions for plan in loop.plans)


def test_with_nobody_waiting_a_chat_left_alone_gives_up_the_slots_before_its_own() -> None:
    loop = left_alone(budget_tokens=4096, max_tokens=30)
    while not loop.plans[-1].compactions:
        loop.step()
    (compaction,) = loop.plans[-1].compactions
    assert compaction.source == Slot(8, NUM_CHATS - 1) and compaction.target == Slot(8, 0)
    assert dict(loop.plans[-1].num_slots)[8] == 1
    loop.finish()


def test_who_waits_gets_what_lies_between_the_others() -> None:
    """Two short chats stay in the slots 3 and 7 of 8: half of the memory is holes or free."""
    loop = create_loop(budget_tokens=64, context_length=200)
    for number in range(1, NUM_CHATS + 1):
        loop.add(create_sequence(number, num_prompt_tokens=4, max_tokens=4 if number % 4 else 5))
    loop.step()
    for number in (1, 2, 3, 5, 6, 7):
        loop.cancel(f"r{number}")
    loop.add(create_sequence(20, num_prompt_tokens=40, max_tokens=1))
    plan = loop.step()
    assert {move.source for move in plan.compactions} == {Slot(8, 3), Slot(8, 7)}
    assert dict(plan.num_slots)[8] == 2
    assert loop.sequences["r20"].slot is not None
    loop.finish()
    assert loop.scheduler.stats().num_preemptions == 0


def test_a_slot_that_a_move_reads_from_is_counted_until_then() -> None:
    """Else the arrays would hold the old slot, the new one and what was made of the old one's bytes."""
    loop = create_loop(budget_tokens=40, context_length=200)
    loop.add(create_sequence(1, num_prompt_tokens=4, max_tokens=12))
    while not loop.plans or not loop.plans[-1].moves:
        loop.step()
    (move,) = loop.plans[-1].moves
    assert isinstance(move, SlotMove) and move.source == Slot(8, 0)
    assert dict(loop.plans[-1].num_slots)[8] == 1
    loop.finish()


def test_who_stays_out_of_the_cache_computes_again_after_a_preemption_and_copies_between_choices() -> None:
    loop = create_loop(budget_tokens=100, context_length=60, cached_tokens=30)
    shared = list(range(16))
    for number, choice_index in ((1, 0), (2, 0), (2, 1), (3, 0)):
        loop.add(
            create_sequence(
                10 * number + choice_index,
                max_tokens=14,
                prompt=[*shared, number],
                uses_prefix_cache=False,
                request_number=number,
                choice_index=choice_index,
            )
        )
    loop.finish()
    assert loop.scheduler.stats().num_preemptions
    assert any(move.num_tokens == 16 for plan in loop.plans for move in plan.moves)  # between the choices
    assert not any(plan.saves or plan.loads for plan in loop.plans)
    assert all(result.num_cached_tokens == 0 for result in loop.results.values())


def test_a_hit_counts_once_a_plan_is_made_of_it() -> None:
    """One that is preempted while the plan is made that admits it has had none."""
    loop = create_loop(budget_tokens=200, cached_tokens=60)
    loop.add(create_sequence(1, prompt=list(range(17)), max_tokens=1))
    loop.run()
    sequence = create_sequence(2, prompt=[*range(16), 30], max_tokens=1)
    assert loop.memory.admit(sequence, 0.0)
    loop.memory.free(sequence, saves=False)
    sequence.restart()
    loop.memory.take_changes()
    stats = loop.scheduler.stats().prefix_cache
    assert (stats.num_asked_tokens, stats.num_hit_tokens) == (17, 0)
    assert (sequence.was_admitted, sequence.num_cached_tokens) == (False, 0)
    loop.memory.prefixes.finish_plan()
    loop.add(sequence)
    loop.finish()
    assert loop.scheduler.stats().prefix_cache.num_hit_tokens == 16
    assert loop.results["r2"].num_cached_tokens == 16
