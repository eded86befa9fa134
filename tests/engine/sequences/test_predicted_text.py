from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.engine.sequences.predicted_text import PredictedText, Prediction

FILE = list(range(100, 160))
TOKENS = st.lists(st.integers(0, 3), max_size=60)


def predicted(token_ids: list[int], *answer: int) -> Prediction:
    prediction = Prediction(PredictedText(token_ids))
    for token in answer:
        prediction.take(token)
    return prediction


def test_the_beginning_is_proposed_before_there_is_any_token() -> None:
    prediction = predicted(FILE)
    assert prediction.predict(3) == (100, 101, 102)
    assert len(prediction.gains(8, is_behind=False)) == 8
    assert prediction.gains(1, is_behind=False)[0] > 0.7


def test_what_was_proposed_and_came_is_accepted() -> None:
    prediction = predicted(FILE, *FILE[:20])
    assert prediction.predict(2) == (120, 121)
    assert (prediction.num_accepted, prediction.num_rejected) == (20, 40)


@pytest.mark.parametrize(
    ("answer", "following"),
    [
        pytest.param([*FILE[:10], 7, FILE[11]], 112, id="a token replaced"),
        pytest.param([*FILE[:10], 7, 8, 9, FILE[11]], 112, id="one replaced by three"),
        pytest.param([*FILE[:10], 7, FILE[14]], 115, id="four replaced by one"),
        pytest.param([*FILE[:10], 7, 8, 9, FILE[10]], 111, id="three put in"),
        pytest.param([*FILE[:10], FILE[13]], 114, id="three left out"),
        pytest.param([*FILE[:10], *FILE[40:42]], 142, id="thirty left out"),
        pytest.param([*FILE[:30], *FILE[5:7]], 107, id="back again"),
        pytest.param([7, 8, 9, FILE[0]], 101, id="something before the beginning"),
        pytest.param([FILE[1]], 102, id="the beginning left out"),
    ],
)
def test_behind_an_edit_it_goes_on_at_the_right_place(answer: list[int], following: int) -> None:
    prediction = predicted(FILE, *answer)
    assert prediction.predict(1) == (following,)
    assert prediction.gains(4, is_behind=False)


def test_where_the_place_is_not_known_nothing_is_proposed() -> None:
    prediction = predicted(FILE, *FILE[:10], 7)
    assert prediction.predict(5) == () and prediction.gains(5, is_behind=False) == []


def test_of_equal_places_the_nearest_behind_the_last_one_wins() -> None:
    text = [1, 2, 50, 3, 4, 9, 1, 2, 51, 5, 6, 9, 1, 2, 52]
    assert predicted(text, 1, 2, 50, 3, 4, 7, 8, 1, 2).predict(1) == (51,)
    assert predicted(text, 1, 2, 50, 3, 4, 9, 1, 2, 51, 5, 6, 7, 8, 1, 2).predict(1) == (52,)


def test_a_longer_match_wins_over_a_nearer_one() -> None:
    text = [1, 2, 3, 8, 7, 1, 2, 50, 6, 5, 1, 2, 51]
    assert predicted(text, 1, 2, 3, 9, 6, 5, 1, 2).predict(1) == (51,)


def test_a_single_token_far_away_says_nothing() -> None:
    assert predicted(FILE, *FILE[:10], 7, FILE[50]).predict(1) == ()


def test_a_single_token_that_misled_is_neither_counted_nor_followed() -> None:
    prediction = predicted(FILE, *FILE[:10], 7, FILE[14], 8)
    assert prediction.num_accepted == 10
    prediction.take(FILE[10])
    assert prediction.predict(1) == (FILE[11],)


def test_tokens_that_a_match_confirms_are_accepted_too() -> None:
    assert predicted(FILE, 7, *FILE[30:34]).num_accepted == 4


def test_a_part_that_comes_twice_is_accepted_once() -> None:
    prediction = predicted(FILE, *FILE, *FILE[10:20])
    assert (prediction.num_accepted, prediction.num_rejected) == (60, 0)


def test_behind_the_end_there_is_nothing() -> None:
    prediction = predicted(FILE[:3], *FILE[:3])
    assert prediction.predict(4) == () and prediction.gains(4, is_behind=False) == []
    prediction.take(7)
    assert prediction.num_accepted == 3


def test_while_a_token_is_in_flight_gains_are_for_those_behind_it() -> None:
    prediction = predicted(FILE[:3])
    assert len(prediction.gains(9, is_behind=False)) == 3
    assert len(prediction.gains(9, is_behind=True)) == 2
    assert prediction.gains(1, is_behind=True) < prediction.gains(1, is_behind=False)


def test_an_empty_prediction_predicts_nothing() -> None:
    prediction = predicted([], 1, 2)
    assert (prediction.predict(3), prediction.gains(3, is_behind=False)) == ((), [])
    assert (prediction.num_accepted, prediction.num_rejected) == (0, 0)


def test_a_prediction_that_misleads_is_soon_left_alone() -> None:
    prediction = predicted([*range(100, 110)] * 30)
    for i in range(40):
        for token in (103, 104, 105, 106, 1000 + i):
            prediction.take(token)
    for token in (103, 104, 105, 106):
        prediction.take(token)
    first, second = prediction.gains(2, is_behind=False) or (0.0, 0.0)
    assert first < 0.6 and second < 0.5


def test_choices_share_the_text_and_follow_it_apart() -> None:
    text = PredictedText(FILE)
    one, other = Prediction(text), Prediction(text)
    one.take(100)
    assert (one.num_accepted, other.num_accepted) == (1, 0)
    assert (one.predict(1), other.predict(1)) == ((101,), (100,))


@given(TOKENS, TOKENS)
def test_counts_hold_for_any_answer(token_ids: list[int], answer: list[int]) -> None:
    prediction, before = predicted(token_ids), 0
    for token in answer:
        is_right = prediction.predict(1) == (token,)
        prediction.take(token)
        assert len(prediction.gains(5, is_behind=False)) <= len(prediction.predict(5))
        assert not is_right or prediction.predict(1) or prediction.num_rejected < len(token_ids)
        assert before <= prediction.num_accepted
        before = prediction.num_accepted
    assert 0 <= prediction.num_accepted <= min(len(token_ids), len(answer))
    assert prediction.num_accepted + prediction.num_rejected == len(token_ids)


@given(TOKENS)
def test_an_answer_that_is_the_prediction_is_accepted_whole(token_ids: list[int]) -> None:
    prediction = predicted(token_ids)
    for place, token in enumerate(token_ids):
        assert prediction.predict(1) == (token,)
        prediction.take(token)
        assert prediction.num_accepted == place + 1
