from __future__ import annotations

import pytest

from api.engine.draft.row import DraftRow


@pytest.mark.parametrize(
    ("num_right", "num_computed"),
    [(0, 10), (1, 11), (2, 12), (3, 12)],  # the last proposal was said, but not computed
)
def test_what_came_true_is_computed_already_but_for_the_last(num_right: int, num_computed: int) -> None:
    row = DraftRow(0.5)
    row.draft(num_known=10, num_proposals=3)
    assert row.learn(10) == 0 and row.num_proposed == 3  # not read yet
    assert row.learn(10 + num_right + 1) == num_right
    assert (row.num_computed, row.num_proposed) == (num_computed, 0)
    assert row.learn(10 + num_right + 1) == 0


def test_a_draft_computes_what_prefill_left() -> None:
    row = DraftRow(0.5)
    row.prefill(3)
    row.prefill(4)
    assert row.num_computed == 7
    row.draft(num_known=10, num_proposals=3)
    assert row.num_computed == 10


def test_the_chance_follows_what_came_true() -> None:
    row = DraftRow(0.5)
    for i in range(40):
        row.draft(num_known=10 * i + 1, num_proposals=4)
        row.learn(10 * i + 6)
    assert row.chance > 0.95
    for i in range(60):
        row.draft(num_known=10 * i + 1, num_proposals=4)
        row.learn(10 * i + 2)
    assert row.chance < 0.05


def test_the_gain_is_the_sum_of_the_chances() -> None:
    assert DraftRow(0.5).gain(3) == pytest.approx(0.5 + 0.25 + 0.125)
    assert DraftRow(1.0).gain(5) == 5
