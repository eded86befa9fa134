from __future__ import annotations

import pytest

from api.engine.budget.step_budget import StepBudget
from api.engine.speculation.verification_costs import StepKind, VerificationCosts

PLAIN = StepKind(1)
KIND = StepKind(1, num_verifying=1, num_proposed=8)


def create_costs(row_multiple: int = 1, max_step_tokens: int = 256) -> VerificationCosts:
    budget = StepBudget(
        stall_seconds=0.1,
        max_step_tokens=max_step_tokens,
        first_chunk_tokens=64,
        row_multiple=row_multiple,
    )
    return VerificationCosts(budget, row_multiple)


def slowdown(costs: VerificationCosts, kind: StepKind) -> float:
    value = costs.slowdown(kind)
    assert value is not None
    return value


def test_nothing_is_known_before_a_plain_step_of_as_many_sequences_was_timed() -> None:
    costs = create_costs()
    assert costs.slowdown(KIND) is None
    costs.observe(StepKind(2), 1.0)
    costs.observe(KIND, 1.0)
    assert costs.slowdown(KIND) is None


def test_before_anything_was_measured_rows_and_sequences_are_estimated() -> None:
    costs = create_costs()
    costs.observe(PLAIN, 0.010)
    costs.observe(StepKind(4), 0.010)
    assert 1 < slowdown(costs, KIND) < slowdown(costs, StepKind(1, 1, 16))
    assert slowdown(costs, StepKind(4, 1, 8)) < slowdown(costs, StepKind(4, 4, 8))


def test_a_single_slow_step_says_little_and_several_decide() -> None:
    costs = create_costs()
    costs.observe(PLAIN, 0.010)
    estimate = slowdown(costs, KIND)
    costs.observe(KIND, 0.500)
    assert slowdown(costs, KIND) == estimate
    for _ in range(4):
        costs.observe(KIND, 0.030)
    assert slowdown(costs, KIND) == pytest.approx(3.0)
    assert slowdown(costs, StepKind(1, 1, 7)) == pytest.approx(3.0)  # as many, roughly
    assert slowdown(costs, StepKind(1, 1, 2)) < 3.0


def test_what_a_plain_step_loses_behind_one_that_verified_is_that_ones_cost() -> None:
    costs = create_costs()
    costs.observe(PLAIN, 0.010)
    for _ in range(5):
        costs.observe(KIND, 0.020)
    assert slowdown(costs, KIND) == pytest.approx(2.0)
    for _ in range(20):
        costs.observe(PLAIN, 0.015, is_overlapped=False)
    assert slowdown(costs, KIND) == pytest.approx(2.5, rel=0.01)
    costs.observe(PLAIN, 0.010)
    assert slowdown(costs, KIND) == pytest.approx(2.5, rel=0.01)


def test_the_plain_step_is_an_average_of_the_newest() -> None:
    costs = create_costs()
    for seconds in [0.010] + 40 * [0.020]:
        costs.observe(PLAIN, seconds)
    for _ in range(5):
        costs.observe(KIND, 0.030)
    assert slowdown(costs, KIND) == pytest.approx(1.5, rel=0.01)


def test_what_was_measured_long_ago_is_tried_again() -> None:
    costs = create_costs()
    costs.observe(PLAIN, 0.010)
    estimate = slowdown(costs, KIND)
    for _ in range(7):
        costs.observe(KIND, 0.200)
    assert slowdown(costs, KIND) == pytest.approx(20)
    for _ in range(501):
        costs.observe(PLAIN, 0.010)
    assert slowdown(costs, KIND) == pytest.approx(estimate)


def test_sizes_end_at_what_is_available_and_at_the_largest_step() -> None:
    assert create_costs().sizes(1, 7) == [1, 2, 3, 4, 6, 7]
    assert create_costs(max_step_tokens=6).sizes(2, 100) == [1, 2, 3, 4]
    assert create_costs().sizes(1, 0) == []
    assert create_costs(max_step_tokens=4).sizes(8, 3) == []


def test_sizes_fill_the_rows_that_are_computed_anyway() -> None:
    costs = create_costs(row_multiple=16)
    assert costs.sizes(1, 16) == [1, 15, 16]
    assert costs.sizes(8, 20) == [8, 20]
    assert costs.sizes(32, 3) == [3]


def test_rows_of_the_padding_cost_nothing_by_the_estimate() -> None:
    costs = create_costs(row_multiple=16)
    costs.observe(StepKind(8), 0.010)
    assert slowdown(costs, StepKind(8, 1, 1)) == slowdown(costs, StepKind(8, 1, 8))
    assert slowdown(costs, StepKind(8, 1, 9)) > slowdown(costs, StepKind(8, 1, 8))


def test_what_was_measured_at_load_tells_where_a_device_changes_its_kernels() -> None:
    """Row by row up to 8, then flat: proposals beyond cost nothing more."""
    seconds = {1: 0.01, 2: 0.02, 4: 0.04, 8: 0.08, 16: 0.081, 32: 0.082}
    budget = StepBudget(stall_seconds=0.1, max_step_tokens=64, first_chunk_tokens=16, step_seconds=seconds)
    costs = VerificationCosts(budget)
    costs.observe(StepKind(1), 0.01)
    few, many = costs.slowdown(StepKind(1, 1, 3)), costs.slowdown(StepKind(1, 1, 31))
    assert few is not None and many is not None
    assert few == pytest.approx(4.09, abs=0.2) and many == pytest.approx(8.3, abs=0.3)
