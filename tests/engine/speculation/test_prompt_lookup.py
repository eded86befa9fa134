from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.engine.speculation import prompt_lookup
from api.engine.speculation.prompt_lookup import PromptLookup

TEXTS = st.lists(st.integers(0, 3), min_size=0, max_size=60)


def lookup_of(token_ids: list[int]) -> PromptLookup:
    lookup = PromptLookup(token_ids)
    lookup.take_many(len(token_ids))
    return lookup


def longest_match(token_ids: list[int]) -> tuple[int, int]:
    """Length and place behind the longest match of the end, at most 16 and the latest, by trying all."""
    best = (0, 0)
    for place in range(2, len(token_ids)):
        length = 0
        while length < min(16, place) and token_ids[place - 1 - length] == token_ids[-1 - length]:
            length += 1
        if length >= 2:
            best = max(best, (length, place))
    return best


def test_what_followed_the_same_tokens_is_predicted() -> None:
    assert lookup_of([1, 2, 3, 4, 5, 9, 2, 3]).predict(3) == (4, 5, 9)


def test_a_single_token_is_no_match() -> None:
    lookup = lookup_of([1, 2, 3, 2])
    assert (lookup.predicted, lookup.predict(4), lookup.match_length) == (None, (), 0)


def test_the_longest_match_wins_and_of_equals_the_latest() -> None:
    assert lookup_of([7, 1, 2, 30, 8, 1, 2, 40, 7, 1, 2]).predict(1) == (30,)
    assert lookup_of([5, 6, 7, 8, 30, 9, 6, 7, 8, 40, 5, 6, 7, 8]).predict(1) == (30,)
    assert lookup_of([6, 1, 2, 30, 8, 1, 2, 40, 7, 1, 2]).predict(1) == (40,)


def test_a_match_that_reaches_the_end_repeats_itself() -> None:
    assert lookup_of([5, 1, 2, 3, 1, 2, 3]).predict(7) == (1, 2, 3, 1, 2, 3, 1)


@pytest.mark.parametrize("token_ids", [[], [4], [4, 4]])
def test_short_texts_have_no_match(token_ids: list[int]) -> None:
    assert lookup_of(token_ids).predict(2) == ()


@given(TEXTS)
def test_the_match_is_the_one_that_a_search_finds(token_ids: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompt_lookup, "_MOST_CANDIDATES", 1000)
        lookup = lookup_of(token_ids)
    length, place = longest_match(token_ids)
    assert lookup.match_length == length
    assert lookup.predicted == (token_ids[place] if length else None)


@given(TEXTS, TEXTS)
def test_following_a_text_token_by_token_tells_which_were_predicted(
    prompt: list[int], answer: list[int]
) -> None:
    token_ids = list(prompt)
    lookup = lookup_of(token_ids)
    for token in answer:
        predicted, length = lookup.predicted, lookup.match_length
        token_ids.append(token)
        assert lookup.num_new == 1
        assert lookup.take() == (predicted == token)
        assert lookup.num_new == 0
        if predicted == token:
            assert lookup.match_length == length + 1
        else:
            assert lookup.predict(5) == lookup_of(token_ids).predict(5)


def test_several_new_tokens_are_followed_as_one() -> None:
    token_ids = [1, 2, 3, 4, 5, 6, 7, 1, 2]
    lookup = lookup_of(token_ids)
    token_ids += [3, 4, 9, 6, 7]
    assert [lookup.take() for _ in range(5)] == [True, True, False, False, False]
    assert lookup.predict(2) == (1, 2)


def test_of_a_very_long_text_only_the_end_is_indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_lookup, "_MOST_INDEXED_TOKENS", 6)
    token_ids = [1, 2, 3, 4, 5, 6, 7, 8, 4, 5]
    lookup = PromptLookup(token_ids)
    assert (lookup.num_taken, lookup.num_new) == (4, 6)
    lookup.take_many(6)
    assert lookup.predict(1) == ()  # the only match lies before


def test_of_what_is_indexed_of_a_long_text_the_longest_match_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_lookup, "_MOST_INDEXED_TOKENS", 8)
    token_ids = [9, 9, 9, 3, 4, 5, 6, 7, 4, 5, 8]
    lookup = PromptLookup(token_ids)
    lookup.take_many(lookup.num_new)
    token_ids += [3, 4, 5]
    assert [lookup.take() for _ in range(3)] == [False] * 3
    assert lookup.predict(2) == (6, 7)
