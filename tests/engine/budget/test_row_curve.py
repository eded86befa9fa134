from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.engine.budget.row_curve import RowCurve, row_sizes


def observe(curve: RowCurve, num_rows: int, seconds: float, times: int = 1) -> None:
    for _ in range(times):
        curve.observe(num_rows, seconds)


@pytest.mark.parametrize("most", [1, 2, 7, 16, 100, 2048])
def test_sizes_grow_by_a_quarter_at_most_and_end_at_the_largest(most: int) -> None:
    sizes = row_sizes(most)
    assert sizes == sorted(set(sizes)) and sizes[0] == 1 and sizes[-1] == most
    assert all(after <= max(before + 1, before * 1.25) for before, after in pairwise(sizes))


def test_sizes_hold_the_tiles_of_matrix_kernels() -> None:
    assert {8, 16, 32, 48, 64, 128, 192, 256, 512} <= set(row_sizes(2048))


def test_nothing_is_known_at_first() -> None:
    assert RowCurve(256).seconds(8) == 0.0
    assert RowCurve(256).hoped_seconds(8) == 0.0


def test_what_was_measured_at_load_is_known_from_the_start() -> None:
    curve = RowCurve(256, {1: 0.01, 64: 0.01, 128: 0.02})
    assert [curve.seconds(rows) for rows in (1, 30, 64, 96, 128)] == pytest.approx(
        [0.01, 0.01, 0.01, 0.015, 0.02]
    )
    assert curve.hoped_seconds(64) == curve.seconds(64) and curve.hoped_seconds(96) < curve.seconds(96)


def test_between_and_beyond_what_was_measured() -> None:
    curve = RowCurve(256)
    observe(curve, 8, 0.080)
    assert curve.seconds(4) == pytest.approx(0.080 * (1 - 0.75 / 2))  # how much of it is fixed is not known
    observe(curve, 64, 0.640)
    assert curve.seconds(36) == pytest.approx(0.360)
    assert curve.seconds(128) == pytest.approx(0.640 * 1.75)


def test_a_step_down_of_the_device_shows_at_its_own_size() -> None:
    curve = RowCurve(256)
    for rows in (8, 16, 17, 24, 32):
        observe(curve, rows, 1.0 if rows <= 16 else 2.0)
    assert [curve.seconds(rows) for rows in (8, 12, 16, 32)] == pytest.approx([1.0, 1.0, 1.0, 2.0])


def test_steps_that_fill_their_size_tell_of_its_edge() -> None:
    curve = RowCurve(256)
    observe(curve, 57, 0.57, times=5)
    observe(curve, 64, 0.64)
    assert curve.seconds(64) == pytest.approx(0.64)


def test_one_step_in_five_may_be_ten_times_as_slow() -> None:
    curve = RowCurve(256)
    for seconds in (0.1, 0.1, 1.0, 0.1, 0.1, 0.1, 0.1, 1.0, 0.1, 0.1):
        curve.observe(32, seconds)
    assert curve.seconds(32) == pytest.approx(0.1, rel=0.15)


def test_larger_sizes_look_cheaper_only_where_that_was_measured_often() -> None:
    """As where a device goes over to another kernel."""
    curve = RowCurve(256)
    observe(curve, 32, 0.3, times=3)
    observe(curve, 64, 0.2)
    assert curve.seconds(64) == pytest.approx(curve.seconds(48)) == pytest.approx(0.275)
    observe(curve, 64, 0.2, times=2)
    assert curve.seconds(32) == pytest.approx(0.3)
    assert curve.seconds(64) == pytest.approx(0.2)


def test_a_size_that_was_not_measured_is_hoped_to_cost_little_more_than_a_smaller_one() -> None:
    curve = RowCurve(256)
    observe(curve, 8, 0.1)
    observe(curve, 24, 0.3)
    assert curve.seconds(16) == pytest.approx(0.2)
    assert curve.hoped_seconds(16) == pytest.approx(0.15)
    observe(curve, 16, 0.1)
    assert curve.hoped_seconds(16) == pytest.approx(0.1)


def test_equal_seconds_stay_equal_up_to_the_largest_size() -> None:
    """Sums of floating-point numbers differ in their last digits."""
    curve = RowCurve(256)
    for rows in (32, 64, 128):
        observe(curve, rows, 0.1 + 1e-12 / rows)
    assert curve.seconds(128) == pytest.approx(curve.seconds(32), rel=1e-6)


def test_noise_of_a_factor_of_two_is_averaged_out() -> None:
    curve, source = RowCurve(256), random.Random(1)
    for _ in range(200):
        for rows in (8, 32, 64, 128):
            num_prompt_rows = 0 if rows == 8 else rows
            curve.observe(rows, rows * 0.01 * 2 ** source.uniform(-0.5, 0.5), num_prompt_rows)
    for rows in (8, 32, 64, 128):
        assert curve.seconds(rows) == pytest.approx(rows * 0.01, rel=0.4)
    assert curve.seconds(128) > 2 * curve.seconds(32)


def test_plain_steps_that_become_slower_move_all_sizes() -> None:
    curve = RowCurve(256)
    observe(curve, 8, 0.1, times=5)
    observe(curve, 64, 0.8)
    observe(curve, 8, 0.2, times=60)
    assert 1.2 < curve.seconds(64) < 1.7  # most of it: what is left, its own next steps tell


def test_context_is_told_from_rows() -> None:
    curve = RowCurve(256)
    observe(curve, 8, 0.08)
    for start in range(0, 4000, 56):
        context = start + 28
        curve.observe(64, 0.08 + 56 * (0.001 + 1e-6 * context), 56, context)
    assert curve.context_seconds == pytest.approx(1e-6, rel=0.05)
    assert curve.seconds(64) == pytest.approx(0.136, rel=0.05)


def test_what_was_not_seen_for_long_is_no_longer_known() -> None:
    curve, tuned = RowCurve(256), RowCurve(256, {64: 0.1})
    for each in (curve, tuned):
        for _ in range(5):
            each.observe(64, 9.0, num_prompt_rows=56)
        observe(each, 8, 0.05, times=2001)
    assert curve.seconds(64) == pytest.approx(0.05 * (1 + 0.75 * 7))
    assert tuned.seconds(64) == pytest.approx(0.1)


STEPS = st.tuples(st.integers(0, 4000), st.floats(0, 100), st.integers(0, 500), st.floats(0, 1e6))


@given(st.lists(STEPS, max_size=40))
def test_any_steps_leave_a_curve(steps: list[tuple[int, float, int, float]]) -> None:
    curve = RowCurve(2048)
    for step in steps:
        curve.observe(*step)
    for rows in range(0, 2100, 7):
        assert 0 <= curve.seconds(rows) < float("inf")
        assert 0 <= curve.hoped_seconds(rows) < float("inf")
    assert curve.context_seconds >= 0
