from __future__ import annotations

import pytest

from api.engine.sampling.thinking import ThinkingProgress
from tests.fakes.piece_tokenizer import PieceTokenizer
from tests.fakes.thinking import create_thinking

LETTERS = [*"abcdefhiknt.<>/\n"]
SPELLED = PieceTokenizer([*LETTERS, "</", "think", ".</", ">\n\n", "k>a"])
SINGLE = PieceTokenizer([*LETTERS, "</", "</think>"], ["<think>"])


def create(tokenizer: PieceTokenizer = SPELLED, **options: int | None) -> ThinkingProgress:
    return ThinkingProgress(create_thinking(tokenizer, max_tokens=options.get("max_tokens")))


def generate(progress: ThinkingProgress, tokenizer: PieceTokenizer, wanted: list[str]) -> list[str]:
    """What a model says that wants ``wanted`` and is forced at times."""
    answer = []
    for text in wanted:
        token_ids = progress.closing_token_ids
        token_id = tokenizer.id_of(text)
        chosen = token_ids[0] if token_ids and token_id not in token_ids else token_id
        answer.append(tokenizer.token_string(chosen))
        progress.consume(chosen)
    return answer


@pytest.mark.parametrize(
    ("wanted", "max_tokens", "answer"),
    [
        ([*"abcdef"], 3, ["a", "b", "c", "</", "think", ">"]),
        (["a", ".</", "b", "c", "d", "e"], 2, ["a", ".</", "think", ">", "d", "e"]),
        (["a", "</", "think", "b", "c"], 3, ["a", "</", "think", ">", "c"]),
        (["a", "</", "think", ">\n\n", "c"], 3, ["a", "</", "think", ">\n\n", "c"]),
        (["a", "<", "a", "b"], 2, ["a", "<", "/", "think"]),
        (["</", "t", "h", "a", "b", "c", "d"], 3, ["</", "t", "h", "i", "n", "k", ">"]),
        ([*"ab"], 0, ["</", "think"]),
        (["a", "</", "think", ">", "b"], 9, ["a", "</", "think", ">", "b"]),
    ],
)
def test_the_end_marker_is_written_when_the_budget_is_used_up(
    wanted: list[str], max_tokens: int, answer: list[str]
) -> None:
    assert generate(create(max_tokens=max_tokens), SPELLED, wanted) == answer


def test_a_marker_that_is_one_token_is_written_as_one() -> None:
    progress = create(SINGLE, max_tokens=2)
    assert generate(progress, SINGLE, ["a", "</", "b", "c"]) == ["a", "</", "</think>", "c"]
    assert not progress.is_inside


def test_a_block_that_opens_again_has_no_new_budget() -> None:
    wanted = ["a", "</think>", "b", "<think>", "c", "d"]
    answer = ["a", "</think>", "b", "<think>", "</think>", "d"]
    assert generate(create(SINGLE, max_tokens=1), SINGLE, wanted)[:2] == answer[:2]
    assert generate(create(SINGLE, max_tokens=2), SINGLE, wanted) == answer


def test_without_a_budget_nothing_is_forced() -> None:
    assert generate(create(), SPELLED, ["a", "</", "b"] * 9) == ["a", "</", "b"] * 9
