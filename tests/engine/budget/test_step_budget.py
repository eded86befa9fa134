from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.engine.budget.prompt_line import PromptLine
from api.engine.budget.row_curve import row_sizes
from api.engine.budget.step_budget import StepBudget

# One that takes all that the target allows, and no more.
LATE = PromptLine((1_000_000,), lateness=1.4)


def create(max_step_tokens: int = 256, stall_seconds: float = 0.25, row_multiple: int = 1) -> StepBudget:
    return StepBudget(
        stall_seconds=stall_seconds,
        max_step_tokens=max_step_tokens,
        first_chunk_tokens=64,
        row_multiple=row_multiple,
    )


def room(budget: StepBudget, num_decode_rows: int, context: int = 0, line: PromptLine = LATE) -> int:
    return budget.num_prompt_rows(num_decode_rows, context, line)


def observe_line(budget: StepBudget, base_seconds: float, seconds_per_row: float) -> None:
    """Plain steps of 8 rows and steps with prompts of all sizes beside them, on an exact line."""
    for _ in range(10):
        for num_rows in row_sizes(256):
            if num_rows >= 8:
                budget.observe(num_rows, num_rows - 8, base_seconds + num_rows * seconds_per_row)


def test_nobody_to_stall_means_the_whole_step() -> None:
    budget = create()
    observe_line(budget, 0.05, 0.1)
    assert room(budget, 0) == 256


@pytest.mark.parametrize(
    ("step_seconds", "num_rows"),
    [
        ({1: 0.01, 256: 2.56, 2048: 20.48}, 256),  # a row costs the same alone as among many
        ({1: 1.0, 256: 1.0, 1024: 1.0, 2048: 2.0}, 1024),  # up to 1,024 of them cost the same together
        ({}, 256),  # nobody knows
    ],
)
def test_several_prompts_and_nobody_else_are_read_in_the_fewest_rows_that_are_efficient(
    step_seconds: dict[int, float], num_rows: int
) -> None:
    budget = StepBudget(
        stall_seconds=0.1, max_step_tokens=2048, first_chunk_tokens=64, step_seconds=step_seconds
    )
    assert room(budget, 0, line=PromptLine((900, 900, 900))) == num_rows
    assert room(budget, 0, line=PromptLine((2700,))) == 2048


def test_before_any_measurement_the_first_chunk_is_read() -> None:
    budget = create()
    budget.observe(8, 0, 0.1)
    assert room(budget, 4) == 64


def test_the_stall_target_over_what_a_row_adds_is_the_room() -> None:
    budget = create()
    observe_line(budget, base_seconds=0.05, seconds_per_row=0.005)
    assert budget.seconds_per_row == pytest.approx(0.005)
    assert room(budget, 8) == 48  # which makes 56 rows: sizes are told apart by a quarter of a doubling


def test_before_any_plain_step_a_row_costs_a_usual_share_of_the_average_one() -> None:
    budget = create()
    budget.observe(64, 64, 0.64)
    assert budget.seconds_per_row == pytest.approx(0.75 * 0.01)
    assert room(budget, 1) == 31


def test_the_slope_is_taken_between_all_rows_of_both_kinds_of_steps() -> None:
    """The plain steps had fewer decode rows than the step with a prompt."""
    budget = create()
    budget.observe(8, 0, 0.05 + 8 * 0.005)
    budget.observe(30 + 64, 64, 0.05 + 94 * 0.005)
    assert budget.seconds_per_row == pytest.approx(0.005)


def test_one_slow_decode_step_does_not_make_rows_look_free_for_long() -> None:
    budget = create()
    for seconds in (5.0, 0.08, 0.08, 0.08):
        budget.observe(8, 0, seconds)
        budget.observe(72, 64, 0.36)
    assert budget.seconds_per_row == pytest.approx((0.36 - 0.08) / 64)


def test_the_last_few_rows_of_a_prompt_say_little() -> None:
    budget = create()
    observe_line(budget, base_seconds=0.05, seconds_per_row=0.005)
    budget.observe(8 + 2, 2, 5.0)
    assert budget.seconds_per_row < 0.03


def test_rows_that_became_dearer_are_believed_when_four_steps_say_so() -> None:
    budget = create()
    observe_line(budget, base_seconds=0.0, seconds_per_row=0.01)
    assert room(budget, 8) == 24
    for _ in range(4):
        for num_rows in row_sizes(256):
            if num_rows > 8:
                budget.observe(num_rows, num_rows - 8, num_rows * 0.02)
    assert room(budget, 8) == 8


@pytest.mark.parametrize("num_decode_rows", [1, 2, 3, 15, 16, 20, 31, 240, 250])
def test_steps_are_filled_to_the_multiple_that_they_are_computed_with(num_decode_rows: int) -> None:
    budget = create(row_multiple=16)
    for _ in range(60):
        budget.observe(5, 0, 0.05 + 16 * 0.005)
        budget.observe(70, 65, 0.05 + 80 * 0.005)
    assert budget.seconds_per_row == pytest.approx(0.005)
    num_rows = room(budget, num_decode_rows)
    assert num_rows == 16 or (num_decode_rows + num_rows) % 16 == 0
    assert num_rows == 16 or num_decode_rows + num_rows <= -(-num_decode_rows // 16) * 16 + 50


def test_prompts_always_advance_by_the_smallest_chunk() -> None:
    budget = create()
    observe_line(budget, 0.05, 10.0)
    assert room(budget, 8) == 8
    assert room(budget, 255) == 16


def test_decode_rows_take_their_share_of_a_step() -> None:
    budget = create()
    observe_line(budget, 0.001, 1e-6)
    assert room(budget, 32) == 224


def test_the_averages_follow_a_device_that_becomes_slower() -> None:
    budget = create()
    observe_line(budget, 0.02, 0.0005)
    before = room(budget, 8)
    observe_line(budget, 0.02, 0.01)
    assert room(budget, 8) == pytest.approx(25, abs=1)
    assert before == 248


SECONDS_AT_START, SECONDS_PER_CONTEXT, PLAIN_SECONDS = 1.25e-3, 0.3e-6, 0.08


def cost(context: float) -> float:
    """Seconds of a prompt row with so many tokens before it."""
    return SECONDS_AT_START + SECONDS_PER_CONTEXT * context


def read_prompt(budget: StepBudget, start: int, end: int) -> float:
    """Reads it beside eight streams; returns the longest time that a step took beyond a plain one.

    As in the engine, a step is planned before the time of the one before it is known.
    """
    longest, position, unread = 0.0, start, None
    while position < end:
        num_rows = min(room(budget, 8, position), end - position)
        context = position + (num_rows - 1) / 2
        seconds = num_rows * cost(context)
        if unread:
            budget.observe(*unread)
        unread = (8 + num_rows, num_rows, PLAIN_SECONDS + seconds, context)
        longest, position = max(longest, seconds), position + num_rows
    for _ in range(10):
        budget.observe(8, 0, PLAIN_SECONDS)
    return longest


def smallest_chunk(end: int) -> float:
    return 16 * cost(end)


def experienced() -> StepBudget:
    budget = create(stall_seconds=0.13)
    budget.observe(8, 0, PLAIN_SECONDS)
    read_prompt(budget, 0, 300)
    read_prompt(budget, 0, 6800)
    return budget


def test_a_prompt_whose_rows_become_dearer_stalls_nobody_for_longer() -> None:
    assert read_prompt(create(stall_seconds=0.13), 0, 300) < 0.13
    assert read_prompt(experienced(), 0, 6800) < 0.13 * 1.1
    assert read_prompt(experienced(), 0, 50_000) < max(0.13, smallest_chunk(50_000)) * 1.1


def test_a_prompt_behind_a_long_cached_prefix_starts_with_small_chunks() -> None:
    budget = experienced()
    read_prompt(budget, 0, 300)
    assert read_prompt(budget, 50_000, 51_000) < max(0.13, smallest_chunk(51_000)) * 1.1


def test_a_short_prompt_after_a_long_one_gets_large_chunks_soon() -> None:
    budget = experienced()
    read_prompt(budget, 50_000, 51_000)
    assert room(budget, 8, 50_000) == 8
    assert room(budget, 8, 0) > 30
    read_prompt(budget, 0, 300)
    assert room(budget, 8, 0) > 80


def test_without_any_spread_of_contexts_no_growth_is_made_up() -> None:
    budget = create()
    observe_line(budget, base_seconds=0.05, seconds_per_row=0.005)
    assert room(budget, 8, 100_000) == room(budget, 8, 0)


STEPS = st.tuples(
    st.integers(1, 64),
    st.integers(0, 256),
    st.just(0.0) | st.floats(1e-9, 100),
    st.just(0.0) | st.floats(0, 1e6),
)


@given(st.lists(STEPS, max_size=30), st.integers(0, 400), st.integers(1, 512), st.integers(0, 1_000_000))
def test_the_room_stays_within_its_bounds(
    steps: list[tuple[int, int, float, float]], num_decode_rows: int, max_step_tokens: int, context: int
) -> None:
    budget = create(max_step_tokens)
    for decode_rows, prompt_rows, seconds, rows_context in steps:
        budget.observe(decode_rows + prompt_rows, prompt_rows, seconds, rows_context)
    num_rows = room(budget, num_decode_rows, context)
    smallest = min(16, max_step_tokens)
    assert 1 <= num_rows <= max(smallest, max_step_tokens - num_decode_rows)
