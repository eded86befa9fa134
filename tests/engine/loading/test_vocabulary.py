from __future__ import annotations

from typing import Any

import pytest

from api.engine.loading.vocabulary import eos_token_ids_of, vocab_size_of


@pytest.mark.parametrize(
    ("named", "ids", "others"),
    [
        (2, {2}, []),
        ([2, 3], {2, 3}, []),
        (0, {0}, []),
        (None, set(), []),
        ([], set(), []),
        (-1, set(), [-1]),
        (10, set(), [10]),
        (10**30, set(), [10**30]),
        ([-1, 2, None, 99], {2}, [-1, 99]),
        (2.0, set(), [2.0]),
        ("2", set(), ["2"]),
        (True, set(), [True]),
        ({"id": 2}, set(), [{"id": 2}]),
    ],
)
def test_only_ids_of_the_vocabulary_end_an_answer(named: Any, ids: set[int], others: list[object]) -> None:
    assert eos_token_ids_of({"vocab_size": 10, "eos_token_id": named}) == (frozenset(ids), others)
    assert eos_token_ids_of({"text_config": {"vocab_size": 10, "eos_token_id": named}})[0] == ids


def test_a_null_leaves_it_to_the_text_part() -> None:
    config = {"eos_token_id": None, "text_config": {"eos_token_id": 7}}
    assert eos_token_ids_of(config) == (frozenset({7}), [])


def test_without_a_size_huge_ids_are_none_all_the_same() -> None:
    assert eos_token_ids_of({"eos_token_id": [5, 2**40, -1]})[0] == {5}


@pytest.mark.parametrize("size", [None, 0, -5, "10", True, 1.5])
def test_a_size_that_is_none(size: Any) -> None:
    assert vocab_size_of({"vocab_size": size}) is None
