from typing import Any

import pytest

from api.errors import InvalidRequestError
from api.types import ChatPrompt
from tests.http.converting import USER, Convert

PREFILL = [USER, {"role": "assistant", "content": "I"}]


@pytest.fixture
def to_prompt(convert: Convert) -> Any:
    def run(**fields: Any) -> ChatPrompt:
        prompt = convert(**fields).prompt
        assert isinstance(prompt, ChatPrompt)
        return prompt

    return run


def test_an_answer_may_continue_a_message(to_prompt: Any) -> None:
    assert not to_prompt().continue_final_message
    assert not to_prompt(add_generation_prompt=True).continue_final_message
    assert to_prompt(messages=PREFILL, continue_final_message=True).continue_final_message
    both = {"continue_final_message": True, "add_generation_prompt": False}
    assert to_prompt(messages=PREFILL, **both).continue_final_message
    for mark in ("prefix", "partial"):
        assert to_prompt(messages=[PREFILL[0], PREFILL[1] | {mark: True}]).continue_final_message
        assert not to_prompt(messages=[PREFILL[0], PREFILL[1] | {mark: False}]).continue_final_message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"continue_final_message": True}, "continue_final_message"),
        ({"messages": [PREFILL[1] | {"prefix": True}, PREFILL[0]]}, "messages[0].prefix"),
        ({"messages": [PREFILL[1] | {"partial": True}, PREFILL[1]]}, "messages[0].partial"),
        ({"messages": [PREFILL[0] | {"images": ["x"]}]}, "messages[0].images"),
        (
            {"messages": PREFILL, "continue_final_message": True, "add_generation_prompt": True},
            "add_generation_prompt",
        ),
        ({"add_generation_prompt": False}, "add_generation_prompt"),
    ],
)
def test_where_the_model_writes_on_must_be_clear(to_prompt: Any, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        to_prompt(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({}, {}),
        (
            {"chat_template_kwargs": {"a": [1], "enable_thinking": False}},
            {"a": [1], "enable_thinking": False},
        ),
        ({"enable_thinking": True}, {"enable_thinking": True}),
        ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        ({"reasoning_effort": "none"}, {"reasoning_effort": "none", "enable_thinking": False}),
        (
            {"chat_template_kwargs": {"reasoning_effort": "none"}},
            {"reasoning_effort": "none", "enable_thinking": False},
        ),
        (
            {"chat_template_kwargs": {"reasoning_effort": "none", "enable_thinking": True}},
            {"reasoning_effort": "none", "enable_thinking": True},
        ),
        (
            {"enable_thinking": False, "chat_template_kwargs": {"enable_thinking": False}},
            {"enable_thinking": False},
        ),
    ],
)
def test_switches_of_the_template(to_prompt: Any, fields: dict[str, Any], options: dict[str, Any]) -> None:
    assert to_prompt(**fields).template_options == options


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"enable_thinking": True, "chat_template_kwargs": {"enable_thinking": False}}, "enable_thinking"),
        ({"enable_thinking": True, "reasoning_effort": "none"}, "reasoning_effort"),
        (
            {"reasoning_effort": "low", "chat_template_kwargs": {"reasoning_effort": "high"}},
            "reasoning_effort",
        ),
    ],
)
def test_switches_that_contradict_each_other(to_prompt: Any, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        to_prompt(**fields)
    assert caught.value.param == param
