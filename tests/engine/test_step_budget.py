from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.engine.step_budget import StepBudget


def create(max_step_tokens: int = 256, stall_seconds: float = 0.25, row_multiple: int = 1) -> StepBudget:
    return StepBudget(
        stall_seconds=stall_seconds,
        max_step_tokens=max_step_tokens,
        first_chunk_tokens=64,
        row_multiple=row_multiple,
    )


def observe_line(budget: StepBudget, base_seconds: float, seconds_per_row: float) -> None:
    """Plain steps of 8 rows and steps with a prompt of 64 rows beside them, on an exact line."""
    for _ in range(60):
        budget.observe(8, 0, base_seconds + 8 * seconds_per_row)
        budget.observe(72, 64, base_seconds + 72 * seconds_per_row)


def test_nobody_to_stall_means_the_whole_step() -> None:
    budget = create()
    observe_line(budget, 0.05, 0.1)
    assert budget.num_prompt_rows(0) == 256


def test_before_any_measurement_the_first_chunk_is_read() -> None:
    budget = create()
    budget.observe(8, 0, 0.1)
    assert budget.num_prompt_rows(4) == 64


def test_the_stall_target_over_what_a_row_adds_is_the_room() -> None:
    budget = create()
    observe_line(budget, base_seconds=0.05, seconds_per_row=0.005)
    assert budget.seconds_per_row == pytest.approx(0.005)
    assert budget.num_prompt_rows(8) == pytest.approx(50, abs=1)


def test_before_any_plain_step_a_row_costs_a_usual_share_of_the_average_one() -> None:
    budget = create()
    budget.observe(64, 64, 0.64)
    assert budget.seconds_per_row == pytest.approx(0.75 * 0.01)
    assert budget.num_prompt_rows(1) == pytest.approx(33, abs=1)


def test_the_slope_is_taken_between_all_rows_of_both_kinds_of_steps() -> None:
    """The plain steps had fewer decode rows than the step with a prompt."""
    budget = create()
    budget.observe(8, 0, 0.05 + 8 * 0.005)
    budget.observe(30 + 64, 64, 0.05 + 94 * 0.005)
    assert budget.seconds_per_row == pytest.approx(0.005)


def test_slow_decode_steps_before_do_not_make_rows_look_free() -> None:
    budget = create()
    budget.observe(8, 0, 5.0)
    budget.observe(72, 64, 0.36)
    assert budget.seconds_per_row == pytest.approx(0.6 * 0.36 / 72)


def test_the_last_few_rows_of_a_prompt_say_little() -> None:
    budget = create()
    observe_line(budget, base_seconds=0.05, seconds_per_row=0.005)
    budget.observe(8 + 2, 2, 5.0)
    assert budget.seconds_per_row < 0.03


def test_rows_that_became_dearer_are_believed_sooner_than_rows_that_became_cheaper() -> None:
    dearer, cheaper = create(), create()
    for budget in (dearer, cheaper):
        observe_line(budget, base_seconds=0.0, seconds_per_row=0.01)
    dearer.observe(8 + 64, 64, 72 * 0.02)
    cheaper.observe(8 + 64, 64, 72 * 0.005)
    assert dearer.seconds_per_row > 0.015
    assert cheaper.seconds_per_row > 0.0075


@pytest.mark.parametrize("num_decode_rows", [1, 2, 3, 15, 16, 20, 31, 240, 250])
def test_steps_are_filled_to_the_multiple_that_they_are_computed_with(num_decode_rows: int) -> None:
    budget = create(row_multiple=16)
    for _ in range(60):
        budget.observe(5, 0, 0.05 + 16 * 0.005)
        budget.observe(70, 65, 0.05 + 80 * 0.005)
    assert budget.seconds_per_row == pytest.approx(0.005)
    room = budget.num_prompt_rows(num_decode_rows)
    assert room == 16 or (num_decode_rows + room) % 16 == 0
    assert room == 16 or num_decode_rows + room <= -(-num_decode_rows // 16) * 16 + 50


def test_prompts_always_advance_by_the_smallest_chunk() -> None:
    budget = create()
    observe_line(budget, 0.05, 10.0)
    assert budget.num_prompt_rows(8) == 16
    assert budget.num_prompt_rows(255) == 16


def test_decode_rows_take_their_share_of_a_step() -> None:
    budget = create()
    observe_line(budget, 0.001, 1e-6)
    assert budget.num_prompt_rows(32) == 224


def test_the_averages_follow_a_device_that_becomes_slower() -> None:
    budget = create()
    observe_line(budget, 0.02, 0.0005)
    before = budget.num_prompt_rows(8)
    observe_line(budget, 0.02, 0.01)
    assert budget.num_prompt_rows(8) == pytest.approx(25, abs=1)
    assert before == 248


STEPS = st.tuples(st.integers(1, 64), st.integers(0, 256), st.just(0.0) | st.floats(1e-9, 100))


@given(st.lists(STEPS, max_size=30), st.integers(0, 400), st.integers(1, 512))
def test_the_room_stays_within_its_bounds(
    steps: list[tuple[int, int, float]], num_decode_rows: int, max_step_tokens: int
) -> None:
    budget = create(max_step_tokens)
    for decode_rows, prompt_rows, seconds in steps:
        budget.observe(decode_rows + prompt_rows, prompt_rows, seconds)
    room = budget.num_prompt_rows(num_decode_rows)
    smallest = min(16, max_step_tokens)
    assert smallest <= room <= max(smallest, max_step_tokens - num_decode_rows)
