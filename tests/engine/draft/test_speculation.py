"""Drafts in the scheduler: answers stay the same, whatever is drafted, and it pays or rests."""

from __future__ import annotations

import zlib
from collections.abc import Sequence as Items

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.types import SamplingParams
from tests.engine.draft.factories import Guess, create_drafting_loop, drafting_plans
from tests.engine.factories import SCORING, create_sequence
from tests.engine.fake_generator import VOCAB_SIZE, next_token

pytestmark = pytest.mark.usefixtures("tiny_classes")

FREE = SamplingParams(temperature=0.0)
# The fake model ignores penalties, but they keep a sequence out of all speculation.
PENALISED = SamplingParams(temperature=0.0, presence_penalty=0.5)


def wrong(token_ids: Items[int]) -> int:
    return (next_token(token_ids) + 1) % VOCAB_SIZE


def right_in(percent: int) -> Guess:
    """Right that often, and wrong at places that depend on the text."""

    def guess(token_ids: Items[int]) -> int:
        is_right = zlib.crc32(bytes([*token_ids, 1])) % 100 < percent
        return next_token(token_ids) if is_right else wrong(token_ids)

    return guess


def test_a_draft_that_is_right_saves_most_steps() -> None:
    loop = create_drafting_loop()
    loop.add(create_sequence(max_tokens=50))
    loop.finish()
    stats = loop.scheduler.stats()
    assert stats.num_accepted_drafts == stats.num_drafted_tokens > 30
    assert sum(bool(plan.spans) for plan in loop.plans) < 20


def test_a_draft_that_is_wrong_is_left_alone() -> None:
    loop = create_drafting_loop(wrong, context_length=300)
    loop.add(create_sequence(max_tokens=250))
    loop.finish()
    assert 0 < len(drafting_plans(loop)) < 25
    assert loop.scheduler.stats().num_accepted_drafts == 0


def test_drafts_go_deeper_the_better_they_are() -> None:
    depths = []
    for percent in (60, 80, 100):
        loop = create_drafting_loop(right_in(percent), context_length=800)
        loop.add(create_sequence(max_tokens=500))
        loop.finish()
        numbers = [draft.num_proposals for plan in loop.plans for draft in plan.drafts]
        depths.append(sum(numbers) / len(numbers))
    assert depths[0] < depths[1] < depths[2]


@pytest.mark.parametrize("num_sequences", [1, 8])
@pytest.mark.parametrize("percent", [0, 60])
@pytest.mark.parametrize(
    ("seconds_per_row", "draft_seconds"),
    [(0.0, 0.001), (0.0, 0.012), (0.002, 0.002), (0.02, 0.02)],
    ids=["memory-bound", "slow draft", "rows cost", "compute-bound"],
)
def test_it_never_costs_much(
    num_sequences: int, percent: int, seconds_per_row: float, draft_seconds: float
) -> None:
    """Against plain decoding by the same clock: some thirty steps once, and a hundredth for trials."""

    def seconds(is_drafting: bool) -> float:
        loop = create_drafting_loop(
            right_in(percent) if is_drafting else wrong,
            seconds_per_row=seconds_per_row,
            draft_seconds=draft_seconds if is_drafting else 1000.0,
            context_length=1000,
            budget_tokens=20_000,
            max_batch_size=8,
        )
        for i in range(1, num_sequences + 1):
            loop.add(create_sequence(i, 12, 500, sampling=FREE if is_drafting else PENALISED))
        loop.run()
        return loop.generator._clock.now  # type: ignore[union-attr]

    begun, num_steps = 100.0, 500
    assert (seconds(True) - begun) / (seconds(False) - begun) < 1.02 + 30 / num_steps


@pytest.mark.parametrize("percent", [0, 50])
def test_many_short_chats_are_not_slowed_by_prefill(percent: int) -> None:
    """A draft model's prefill is as dear as that of the served one, and half of it is never paid back."""

    def seconds(sampling: SamplingParams) -> float:
        loop = create_drafting_loop(
            right_in(percent), seconds_per_row=0.005, read_seconds=0.002, context_length=1000
        )
        for i in range(1, 61):
            loop.add(create_sequence(i, 30, 25, sampling=sampling))
        loop.run()
        return loop.generator._clock.now - 100.0  # type: ignore[union-attr]

    assert seconds(FREE) / seconds(PENALISED) < 1.06


def test_rows_with_penalties_get_none_beside_others_that_do() -> None:
    loop = create_drafting_loop(draft_seconds=0.0005)
    loop.add(create_sequence(1, max_tokens=30))
    loop.add(create_sequence(2, max_tokens=30, sampling=PENALISED))
    loop.finish()
    drafted = {draft.sequence_id for plan in loop.plans for draft in plan.drafts}
    assert drafted == {1}


def test_nothing_is_drafted_beyond_what_the_draft_model_can_see() -> None:
    loop = create_drafting_loop(draft_context=20)
    loop.add(create_sequence(num_prompt_tokens=5, max_tokens=50))
    loop.finish()
    ends = [d.start + len(d.token_ids) + d.num_proposals for plan in loop.plans for d in plan.drafts]
    assert 15 < max(ends) <= 20


def test_a_long_prompt_is_prefilled_in_pieces_beside_plain_steps() -> None:
    loop = create_drafting_loop(context_length=1000, max_step_tokens=32)
    loop.add(create_sequence(num_prompt_tokens=200, max_tokens=300))
    loop.finish()
    pieces = [len(d.token_ids) for plan in loop.plans for d in plan.drafts if not d.num_proposals]
    assert len(pieces) > 4 and max(pieces) <= 32
    assert loop.scheduler.stats().num_accepted_drafts > 100


def test_what_is_prefilled_in_a_step_is_bounded_for_all_together() -> None:
    """Many prompts that are short each; the plan of memory counts on it."""
    loop = create_drafting_loop(
        seconds_per_row=0.0,
        draft_seconds=0.0005,
        context_length=200,
        max_step_tokens=24,
        max_batch_size=8,
    )
    for i in range(1, 9):
        loop.add(create_sequence(i, num_prompt_tokens=10, max_tokens=60))
    loop.finish()
    numbers = [sum(len(draft.token_ids) for draft in plan.drafts) for plan in loop.plans]
    assert 8 < max(numbers) <= 24
    assert loop.scheduler.stats().num_accepted_drafts > 0


def test_a_prompt_is_not_prefilled_for_a_short_answer() -> None:
    loop = create_drafting_loop(context_length=1000, draft_seconds=0.004)
    loop.add(create_sequence(num_prompt_tokens=900, max_tokens=5))
    loop.finish()
    assert loop.generator.drafter.num_prefilled_tokens == 0


def test_what_the_prefix_cache_gave_is_prefilled_by_the_draft_as_well() -> None:
    loop = create_drafting_loop(cached_tokens=200)
    for i in (1, 2):
        loop.add(create_sequence(i, prompt=list(range(20)), max_tokens=30))
        loop.finish()
    assert loop.results["r2"].num_cached_tokens > 10
    assert loop.scheduler.stats().num_accepted_drafts > 40


def test_a_text_that_repeats_itself_goes_before_the_draft() -> None:
    loop = create_drafting_loop(wrong)
    loop.add(create_sequence(prompt=list(range(10)) * 2, max_tokens=8, sampling=SCORING))
    loop.finish()


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 100),
    st.integers(30, 200),
    st.sampled_from([0, 60]),
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 25), st.integers(0, 6)), min_size=1, max_size=10),
    st.data(),
)
def test_joins_cancels_preemptions_and_failures_change_nothing(
    percent: int,
    budget_tokens: int,
    cached_tokens: int,
    sizes: list[tuple[int, int, int]],
    data: st.DataObject,
) -> None:
    """Slots are few, so they are moved, outgrown and given to others; the fakes see what lies in them."""
    loop = create_drafting_loop(
        right_in(percent), budget_tokens=budget_tokens, cached_tokens=cached_tokens, draft_seconds=0.0005
    )
    longest = loop.slots.max_sequence_tokens
    for i, (num_prompt_tokens, max_tokens, num_steps) in enumerate(sizes, 1):
        num_prompt_tokens = min(num_prompt_tokens, longest - 1)
        max_tokens = min(max_tokens, longest - num_prompt_tokens)
        loop.add(create_sequence(i, num_prompt_tokens, max_tokens))
        for _ in range(num_steps):
            loop.step()
        match data.draw(st.integers(0, 9)):
            case 0:
                loop.cancel(f"r{data.draw(st.integers(1, i))}")
            case 1:
                loop.generator.fails_next = True
    loop.finish()
