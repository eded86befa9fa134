from __future__ import annotations

import pytest

from api.errors import ContextLengthError
from api.text.answer_room import AnswerRoom


@pytest.mark.parametrize(
    ("room", "wanted", "expected"),
    [
        (AnswerRoom(100, 1000, None), None, 60),
        (AnswerRoom(1000, 100, None), None, 60),
        (AnswerRoom(100, 1000, 20), None, 20),
        (AnswerRoom(100, 1000, 200), None, 60),
        (AnswerRoom(100, 1000, 20), 50, 50),
        (AnswerRoom(100, 1000, None), 60, 60),
        (AnswerRoom(100, 1000, None), 0, 0),
    ],
)
def test_an_answer_behind_40_tokens(room: AnswerRoom, wanted: int | None, expected: int) -> None:
    assert room.num_tokens(40, wanted, "messages") == expected


@pytest.mark.parametrize(
    ("room", "wanted", "words"),
    [
        (AnswerRoom(100, 1000, None), 61, "maximum context length is 100 tokens"),
        (AnswerRoom(40, 1000, None), None, "41 tokens (40 in the messages, 1 in the completion)"),
        (AnswerRoom(1000, 100, None), 61, "KV memory holds 100 tokens"),
    ],
)
def test_too_much_is_refused_by_the_prompts_name(room: AnswerRoom, wanted: int | None, words: str) -> None:
    with pytest.raises(ContextLengthError) as caught:
        room.num_tokens(40, wanted, "messages")
    assert caught.value.param == "messages" and words in caught.value.message


def test_what_a_client_may_have_bounds_what_it_does_not_name() -> None:
    room = AnswerRoom(context_tokens=100, memory_tokens=100, default_max_tokens=None)
    assert [room.num_tokens(90, None, "messages", most) for most in (None, 5, 50)] == [10, 5, 10]
    assert AnswerRoom(100, 100, 3).num_tokens(90, None, "messages", 5) == 3
