from __future__ import annotations

import pytest

from api.engine.draft.costs import DraftCosts
from api.engine.speculation.verification_costs import StepKind, VerificationCosts
from tests.engine.factories import create_budget

PLAIN = StepKind(2)
DRAFTING = StepKind(2, 2, 6, num_drafts=3)


def create_costs(share: float = 0.2) -> DraftCosts:
    budget = create_budget()
    verification = VerificationCosts(budget)
    made = DraftCosts(verification, budget, share)
    for each in (made, verification):
        each.observe(PLAIN, 0.010)
    return made


def test_before_a_plain_step_was_timed_nothing_is_known() -> None:
    made = DraftCosts(VerificationCosts(create_budget()), create_budget(), 0.2)
    assert made.slowdown(DRAFTING) is None and made.plain_seconds(2) == 0


def test_the_first_guess_is_by_the_weights() -> None:
    light, heavy = create_costs(0.1).slowdown(DRAFTING), create_costs(0.5).slowdown(DRAFTING)
    assert light is not None and heavy is not None
    assert heavy - light == pytest.approx(3 * 0.4)


def test_what_was_measured_outweighs_the_guess_and_one_slow_step_does_not() -> None:
    made = create_costs()
    first = made.slowdown(DRAFTING)
    made.observe(DRAFTING, 0.500)
    assert first is not None and (made.slowdown(DRAFTING) or 0) < 20
    for _ in range(7):
        made.observe(DRAFTING, 0.030)
    assert made.slowdown(DRAFTING) == pytest.approx(3.0)


def test_other_depths_learn_from_what_was_measured() -> None:
    deeper = StepKind(2, 2, 8, num_drafts=4)
    made = create_costs()
    before = made.slowdown(deeper) or 0
    for _ in range(7):
        made.observe(DRAFTING, 0.060)
    assert (made.slowdown(deeper) or 0) > before + 2


def test_what_is_only_prefilled_has_a_price_of_its_own() -> None:
    made = create_costs()
    for _ in range(9):
        made.observe(StepKind(2, num_caught_up=20), 0.050)
    assert made.row_seconds(2) == pytest.approx(0.002, rel=0.1)
    assert made.plain_seconds(2) == pytest.approx(0.010)


def test_prefill_beside_a_draft_says_nothing_about_drafts() -> None:
    made = create_costs()
    before = made.slowdown(DRAFTING)
    for _ in range(7):
        made.observe(StepKind(2, 2, 6, num_drafts=3, num_caught_up=60), 0.200)
    assert made.slowdown(DRAFTING) == before
    assert made.row_seconds(2) > 0.002


def test_before_any_was_timed_prefill_costs_what_the_served_models_rows_do_by_the_weights() -> None:
    budget = create_budget()
    verification = VerificationCosts(budget)
    made = DraftCosts(verification, budget, 0.2)
    made.observe(PLAIN, 0.010)
    budget.observe(2, 0, 0.010)
    budget.observe(34, 32, 0.970)
    assert budget.seconds_per_row > 0
    assert made.row_seconds(2) == pytest.approx(0.23 * budget.seconds_per_row)


def test_plain_steps_are_timed_anew_now_and_then() -> None:
    made = create_costs()
    for _ in range(300):
        made.observe(DRAFTING, 0.030)
    assert made.plain_seconds(2) == 0
    made.observe(PLAIN, 0.020)
    assert made.plain_seconds(2) > 0.010
