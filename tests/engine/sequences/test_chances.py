from __future__ import annotations

import pytest

from api.engine.sequences.chances import Chances


@pytest.mark.parametrize(("worse", "better"), [(2, 4), (7, 8), (15, 16), (3, 100)])
def test_a_longer_match_is_better_at_first(worse: int, better: int) -> None:
    assert 0 < Chances().of(worse) < Chances().of(better) < 1


def test_chances_follow_what_came_true() -> None:
    chances = Chances()
    for _ in range(60):
        chances.record(5, True)
        chances.record(20, False)
    assert chances.of(4) > 0.99 and chances.of(16) < 0.01
    assert chances.of(8) == Chances().of(8)


def test_a_source_may_begin_with_chances_of_its_own() -> None:
    chances = Chances((0.5, 0.9))
    assert [chances.of(length) for length in (1, 2, 3, 100)] == [0.5, 0.9, 0.9, 0.9]


def test_gains_are_the_chances_that_all_up_to_a_token_come_true() -> None:
    chances = Chances()
    first, second = chances.of(3), chances.of(4)
    assert chances.gains(3, 3) == pytest.approx([first, first * second, first * second * second])
    assert chances.gains(3, 1, is_behind=True) == pytest.approx([first * second])
    assert chances.gains(3, 0) == []


def test_without_a_match_or_with_a_bad_one_there_is_nothing_to_gain() -> None:
    chances = Chances()
    assert chances.gains(0, 5) == []
    for _ in range(30):
        chances.record(2, False)
    assert chances.gains(2, 5) == [] and chances.gains(4, 5)


def test_what_hardly_ever_comes_true_is_left_out() -> None:
    assert 3 < len(Chances((0.0, 0.5)).gains(2, 1000)) < 10
