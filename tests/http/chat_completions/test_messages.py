from typing import Any

import pytest

from api.errors import InvalidRequestError, UnsupportedFieldError
from api.types import ChatPrompt
from tests.http.converting import USER, Convert


def call(call_id: str = "c1", name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.fixture
def to_messages(convert: Convert) -> Any:
    def run(*messages: dict[str, Any]) -> list[dict[str, Any]]:
        prompt = convert(messages=list(messages)).prompt
        assert isinstance(prompt, ChatPrompt)
        return list(prompt.messages)

    return run


def test_plain_roles_keep_their_names(to_messages: Any) -> None:
    messages = [
        {"role": "system", "content": "s", "name": "boss"},
        {"role": "developer", "content": "d"},
        USER,
    ]
    assert to_messages(*messages) == messages


def test_text_parts_are_joined_with_nothing(to_messages: Any) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert to_messages({"role": "user", "content": parts}) == [{"role": "user", "content": "ab"}]


def test_calls_and_their_results_round_trip(to_messages: Any) -> None:
    assistant = {"role": "assistant", "content": None, "tool_calls": [call("c1", "f"), call("c2", "g")]}
    result = {"role": "tool", "content": "4", "tool_call_id": "c2"}
    assert to_messages(USER, assistant, result)[1:] == [assistant, result]


def test_a_tool_call_without_type_is_a_function(to_messages: Any) -> None:
    untyped = {"id": "c1", "function": {"name": "f", "arguments": "{}"}}
    [message] = to_messages({"role": "assistant", "tool_calls": [untyped]})
    assert message["tool_calls"] == [call()]


def test_legacy_calls_become_tool_calls(to_messages: Any) -> None:
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}}
    result = {"role": "function", "name": "f", "content": "4"}
    _, first, first_result, second, second_result = to_messages(USER, legacy, result, legacy, result)
    assert first["tool_calls"] == [call("call00001", "f", '{"a": 1}')]
    assert first_result == {"role": "tool", "content": "4", "tool_call_id": "call00001", "name": "f"}
    assert second_result["tool_call_id"] == second["tool_calls"][0]["id"] == "call00003"


def test_a_function_result_without_a_call_is_still_a_tool_message(to_messages: Any) -> None:
    [message] = to_messages({"role": "function", "name": "f", "content": None})
    assert (message["role"], message["content"], message["name"]) == ("tool", "", "f")


def test_an_answer_can_be_sent_back_as_clients_dump_it(to_messages: Any) -> None:
    dumped: dict[str, Any] = {
        "role": "assistant",
        "content": "4",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
        "reasoning_content": "2 + 2",
        "reasoning": "2 + 2",
    }
    assert to_messages(dumped) == [{"role": "assistant", "content": "4", "reasoning_content": "2 + 2"}]


def test_refusals_are_text(to_messages: Any) -> None:
    parts = [{"type": "text", "text": "So "}, {"type": "refusal", "refusal": "no"}]
    whole, in_parts = to_messages(
        {"role": "assistant", "content": None, "refusal": "no"}, {"role": "assistant", "content": parts}
    )
    assert (whole["content"], in_parts["content"]) == ("no", "So no")


@pytest.mark.parametrize(
    "message", [{"role": "assistant", "content": None}, {"role": "assistant", "tool_calls": []}]
)
def test_an_assistant_must_say_something(to_messages: Any, message: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        to_messages(USER, message)
    assert (caught.value.param, caught.value.code) == ("messages[1].content", "missing_required_parameter")


def test_earlier_audio_is_refused(to_messages: Any) -> None:
    with pytest.raises(UnsupportedFieldError) as caught:
        to_messages(USER, {"role": "assistant", "content": "x", "audio": {"id": "a"}})
    assert caught.value.param == "messages[1].audio"


def test_function_results_belong_to_the_latest_call_of_their_function(to_messages: Any) -> None:
    def call_of(name: str) -> dict[str, Any]:
        return {"role": "assistant", "content": None, "function_call": {"name": name, "arguments": "{}"}}

    def result_of(name: str) -> dict[str, Any]:
        return {"role": "function", "name": name, "content": "4"}

    messages = to_messages(call_of("f"), call_of("g"), call_of("f"), result_of("f"), result_of("g"))
    assert [each["tool_call_id"] for each in messages[3:]] == ["call00002", "call00001"]
