from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.text.dropped_messages import first_dropped


def message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def user(content: str) -> dict[str, Any]:
    return message("user", content)


def mentions_nothing(word: str) -> bool:
    return False


def find(prompt: str, *messages: dict[str, Any], mentions: Callable[[str], bool] = mentions_nothing) -> Any:
    return first_dropped(messages, prompt, mentions)


def test_every_text_is_there() -> None:
    assert find("[S]Be kind.[U]Hello[A]Hi", message("system", "Be kind."), user("Hello")) is None


def test_the_first_that_is_not_there_is_named() -> None:
    assert find("[U]Hello", user("Hello"), message("assistant", "Hi!"), user("Bye!")) == 1


@pytest.mark.parametrize(
    ("content", "prompt"),
    [
        ("  Hello there\n", "[U]Hello there[A]"),
        ('{"a": "\u00e9"}\n1', 'x {"output": "{\\"a\\": \\"\u00e9\\"}\\n1"} y'),
        ("\u00e9t\u00e9", 'x "\\u00e9t\\u00e9" y'),
        ("   ", ""),
        ("one two\n   three four", "one two three four"),
    ],
)
def test_a_text_may_be_trimmed_or_written_as_json(content: str, prompt: str) -> None:
    assert find(prompt, user(content)) is None


def test_a_switch_that_the_template_knows_may_be_taken_out() -> None:
    def mentions(word: str) -> bool:
        return word == "no_think"

    assert find("[S]Be brief.", message("system", "Be brief. /no_think"), mentions=mentions) is None
    assert find("[S]", message("system", "/no_think"), mentions=mentions) is None
    assert find("[U]Hi you", user("Hi/no_think you"), mentions=mentions) is None
    assert find("[S]", message("system", "/no_think")) == 0


def test_a_few_short_words_are_not_the_text() -> None:
    assert find("[U]What is it and is it here?", message("system", "It is and is translation10.")) == 0
    assert find("[U]translation1000", user("the translation1")) == 0


def test_a_text_that_is_said_twice_must_be_there_twice() -> None:
    assert find("[U]yes[A]no[U]yes", user("yes"), message("assistant", "no"), user("yes")) is None
    assert find("[U]yes[A]no", user("yes"), message("assistant", "no"), user("yes")) == 2


def test_messages_may_stand_in_another_order() -> None:
    chat = [message("system", "Be kind."), user("One"), message("assistant", "Two"), user("Three")]
    assert find("[U]One[A]Two[S]Be kind.[U]Three", *chat) is None
    assert find("[U]Three[U]One[A]Two[S]Be kind.", *chat) is None


def test_reasoning_may_be_cut_off_an_answer_but_not_the_rest() -> None:
    answer = message("assistant", "<think>\nhm\n</think>\n\nParis")
    assert find("[A]Paris", answer) is None
    assert find("[A]London", answer) == 0
    assert find("[A]", message("assistant", "<think>\nhm")) is None
    assert first_dropped([message("assistant", "{hm}Paris")], "Paris", mentions_nothing, ("{", "}")) is None


def test_what_a_user_writes_about_markers_is_no_reasoning() -> None:
    assert find("[U]", user("What is <think>")) == 0


def test_calls_are_there_by_their_names() -> None:
    call = {"id": "1", "function": {"name": "get_weather", "arguments": {}}}
    calling = {"role": "assistant", "content": "", "tool_calls": [call]}
    assert find("[A]get_weather()", calling) is None
    assert find("[A]", calling) == 0


class CountedPrompt(str):
    num_scanned = 0

    def find(self, text: Any, *places: Any) -> int:
        start = places[0] if places else 0
        found = super().find(text, *places)
        self.num_scanned += (len(self) if found < 0 else found) - start
        return found


def test_long_chats_are_gone_through_once() -> None:
    """Also those whose results are written as JSON, which is not the first form that is looked for."""
    chat = [message("tool", f'{{"line":\n"{i}"}}' * 5) for i in range(2_000)]
    prompt = "".join(
        '"' + str(each["content"]).replace('"', '\\"').replace("\n", "\\n") + '"' for each in chat
    )
    counted = CountedPrompt(prompt)
    assert find(counted, *chat) is None
    assert 0 < counted.num_scanned < 3 * len(prompt)
