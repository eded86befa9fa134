from __future__ import annotations

from collections.abc import Sequence

import pytest

from api.engine.thinking import ThinkingProgress
from api.types import Thinking

START, END = (50,), (60,)
LONG_START, LONG_END = (50, 51, 52), (60, 61, 60, 62)


def create(
    start: tuple[int, ...] = START,
    end: tuple[int, ...] = END,
    *,
    is_open: bool = False,
    max_tokens: int | None = None,
    with_grammar: bool = False,
) -> ThinkingProgress:
    thinking = Thinking(start, end, is_open, max_tokens)
    return ThinkingProgress(thinking, opens_at_start_only=with_grammar)


def feed(progress: ThinkingProgress, token_ids: Sequence[int]) -> list[bool]:
    return [progress.consume(token_id) for token_id in token_ids]


def generate(progress: ThinkingProgress, wanted: Sequence[int]) -> list[int]:
    """What a model says that wants ``wanted`` and is forced at times."""
    answer = []
    for token_id in wanted:
        forced = progress.forced_token
        answer.append(token_id if forced is None else forced)
        progress.consume(answer[-1])
    return answer


def test_an_open_block_ends_with_its_marker() -> None:
    progress = create(end=LONG_END, is_open=True)
    assert feed(progress, [1, 60, 61, *LONG_END]) == [True] * 7
    assert not progress.is_inside
    assert feed(progress, [60, 61, 60, 62]) == [False] * 4


@pytest.mark.parametrize("start", [START, LONG_START])
def test_without_a_grammar_a_block_opens_anywhere(start: tuple[int, ...]) -> None:
    progress = create(start)
    feed(progress, [1, 2, 50, 3])
    was_inside = progress.is_inside
    feed(progress, start)
    assert was_inside is (start == START) and progress.is_inside


def test_with_a_grammar_a_block_opens_with_the_first_token_or_never() -> None:
    early, late = create(with_grammar=True), create(with_grammar=True)
    assert early.may_open and feed(early, [50]) == [True] and early.is_inside
    assert feed(late, [1]) == [False] and not late.may_open
    assert feed(late, [50]) == [False] and not late.is_inside


def test_a_token_that_cannot_open_does_not() -> None:
    progress = create(with_grammar=True)
    assert progress.consume(50, can_open=False) is False
    assert not progress.is_inside and not progress.may_open


def test_a_start_marker_that_is_begun_under_a_grammar_is_completed() -> None:
    progress = create(LONG_START, with_grammar=True, max_tokens=2)
    assert generate(progress, [50, 1, 2, 3, 4, 5, 6]) == [50, 51, 52, 3, 4, 60, 6]
    assert not progress.is_inside and not progress.is_opening


def test_the_block_is_closed_when_its_budget_is_used_up() -> None:
    progress = create(end=LONG_END, is_open=True, max_tokens=3)
    assert generate(progress, [1, 2, 3, 4, 5, 6, 7, 8]) == [1, 2, 3, *LONG_END, 8]


@pytest.mark.parametrize("begun", [(60,), (60, 61), (60, 61, 60), (60, 61, 60, 61, 60)])
def test_an_end_that_is_begun_at_the_limit_goes_on(begun: tuple[int, ...]) -> None:
    progress = create(end=LONG_END, is_open=True, max_tokens=len(begun) + 1)
    answer = generate(progress, [1, *begun, *[9] * 5])
    assert answer[: len(begun) + 1] == [1, *begun]
    end = answer.index(62) + 1
    assert tuple(answer[end - 4 : end]) == LONG_END
    assert end == 1 + len(begun) + {1: 3, 2: 2, 3: 1, 5: 1}[len(begun)]


def test_a_block_that_ends_in_time_is_not_touched() -> None:
    progress = create(is_open=True, max_tokens=3)
    assert generate(progress, [1, 2, 60, 4, 5, 6]) == [1, 2, 60, 4, 5, 6]


def test_no_budget_at_all_closes_at_once() -> None:
    assert generate(create(is_open=True, max_tokens=0), [1, 2]) == [60, 2]
    assert generate(create(max_tokens=0), [1, 50, 2, 3]) == [1, 50, 60, 3]


def test_a_block_that_opens_again_has_no_new_budget() -> None:
    assert generate(create(is_open=True, max_tokens=2), [1, 60, 7, 50, 8, 9]) == [1, 60, 7, 50, 60, 9]


def test_without_a_start_marker_nothing_opens() -> None:
    assert not create((), with_grammar=True).may_open
    assert feed(create(()), [1, 2]) == [False, False]
