from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.errors import InvalidRequestError, MissingChatTemplateError
from api.text.chat_template import render_chat
from api.text.tokenizer import Tokenizer
from api.types import ChatPrompt
from tests.text.streams import TOOLS, tool_use
from tests.text.templates import CHATML_WITH_TOOLS, NO_SYSTEM, SHORT_IDS

LoadKind = Callable[[str], Tokenizer]
WithTemplate = Callable[[str | None], Tokenizer]
LoadWith = Callable[..., Tokenizer]

CALL_ID = "call_0123456789abcdef01234567"


def message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def render(tokenizer: Tokenizer, *messages: dict[str, Any], continued: bool = False) -> list[int]:
    rendered = render_chat(tokenizer, ChatPrompt(messages, continue_final_message=continued))
    assert rendered.token_ids == tokenizer.encode(rendered.text)
    return rendered.token_ids


def render_text(tokenizer: Tokenizer, *messages: dict[str, Any], **fields: Any) -> str:
    return render_chat(tokenizer, ChatPrompt(messages, **fields)).text


def test_ends_with_a_generation_prompt(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    expected = tokenizer.encode("<|begin|><|system|>Be kind.<|end|><|user|>Hello<|end|><|assistant|>")
    assert render(tokenizer, message("system", "Be kind."), message("user", "Hello")) == expected


def test_has_one_bos(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    token_ids = render(tokenizer, message("user", "Hello"))
    assert token_ids.count(tokenizer.encode("<|begin|>")[0]) == 1


def test_continues_the_final_message_if_asked(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    chat = message("user", "Where?"), message("assistant", "In Par")
    begin = "<|begin|><|user|>Where?<|end|><|assistant|>In Par"
    assert render(tokenizer, *chat, continued=True) == tokenizer.encode(begin)
    assert render(tokenizer, *chat) == tokenizer.encode(begin + "<|end|><|assistant|>")


def test_unknown_developer_becomes_system(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    chat = message("developer", "Be kind."), message("user", "Hello")
    assert render(tokenizer, *chat) == render(tokenizer, message("system", "Be kind."), chat[1])
    assert chat[0]["role"] == "developer"


def test_known_developer_stays(with_template: WithTemplate) -> None:
    tokenizer = with_template(
        "{% for m in messages %}{{ m.role }}:{{ m.content }}{% endfor %}{# developer #}"
    )
    assert tokenizer.decode(render(tokenizer, message("developer", "x"))) == "developer:x"


def test_no_template(with_template: WithTemplate) -> None:
    with pytest.raises(MissingChatTemplateError):
        render(with_template(None), message("user", "Hello"))


def test_refusal_carries_the_templates_words(load_kind: LoadKind) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        render(load_kind("byte_level"), message("critic", "5"))
    assert (caught.value.message, caught.value.param) == ("Unknown role critic", "messages")


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[0].content + 1 }}",
        "{{ messages[7].content }}",
        "{{ 1 // 0 }}",
        "{{ messages[0].nothing.at.all }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ messages.append(1) }}",
        "{{ messages.__class__.__base__.__subclasses__() }}",
        "{% if %}",
    ],
)
def test_a_failing_template_is_a_client_error(with_template: WithTemplate, template: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        render(with_template(template), message("user", "Hello"))
    assert caught.value.param == "messages"
    assert caught.value.message.strip()


def test_a_template_that_drops_the_message_cannot_continue_it(with_template: WithTemplate) -> None:
    tokenizer = with_template("{{ messages[0].content }}")
    chat = message("user", "Hello"), message("assistant", "secret")
    with pytest.raises(InvalidRequestError) as caught:
        render(tokenizer, *chat, continued=True)
    assert "\n" not in caught.value.message


def test_lone_surrogate(load_kind: LoadKind) -> None:
    with pytest.raises(InvalidRequestError, match="surrogate"):
        render(load_kind("byte_level"), message("user", "a\ud800"))


# --- template options and reasoning -------------------------------------------------------------


@pytest.mark.parametrize("name", ["messages", "tokenize", "chat_template", "tools", "add_generation_prompt"])
def test_options_may_not_override_the_servers(load_kind: LoadKind, name: str) -> None:
    prompt = ChatPrompt((message("user", "Hello"),), template_options={name: "x"})
    with pytest.raises(InvalidRequestError, match=name) as caught:
        render_chat(load_kind("byte_level"), prompt)
    assert caught.value.param == "chat_template_kwargs"


def test_options_reach_the_template(load_with: LoadWith) -> None:
    tokenizer = load_with("{{ messages[0].content }}{{ reasoning_effort }}{{ documents }}{{ style }}")
    options = {"reasoning_effort": "low", "documents": [{"title": "t"}], "style": 5}
    text = render_text(tokenizer, message("user", "Hi"), template_options=options)
    assert text == "Hilow[{'title': 't'}]5"


def test_documents_of_a_wrong_form_are_a_client_error(load_kind: LoadKind) -> None:
    prompt = ChatPrompt((message("user", "Hello"),), template_options={"documents": ["text"]})
    with pytest.raises(InvalidRequestError):
        render_chat(load_kind("byte_level"), prompt)


@pytest.mark.parametrize(
    ("options", "is_open"),
    [
        ({}, True),  # as mlx-lm does for models that think
        ({"enable_thinking": True}, True),
        ({"enable_thinking": False}, False),
        ({"reasoning_effort": "none", "enable_thinking": False}, False),
        ({"reasoning_effort": "none", "enable_thinking": True}, True),
        ({"reasoning_effort": "high"}, True),
    ],
)
def test_the_prompt_tells_whether_it_ends_in_reasoning(
    load_with: LoadWith, options: dict[str, Any], is_open: bool
) -> None:
    tokenizer = load_with(CHATML_WITH_TOOLS, tokens=("<think>", "</think>"))
    prompt = ChatPrompt((message("user", "Hi"),), template_options=options)
    rendered = render_chat(tokenizer, prompt)
    assert rendered.text.endswith("<think>\n") is is_open
    assert rendered.ends_in_reasoning is is_open


def test_a_continued_message_may_end_in_reasoning(load_with: LoadWith) -> None:
    tokenizer = load_with(CHATML_WITH_TOOLS, tokens=("<think>", "</think>"))
    for content, is_open in (("<think>\nHm", True), ("<think>\nHm</think>\nYes", False), ("Yes", False)):
        messages = message("user", "Hi"), message("assistant", content)
        rendered = render_chat(tokenizer, ChatPrompt(messages, continue_final_message=True))
        assert rendered.text.endswith(content)
        assert rendered.ends_in_reasoning is is_open


# --- tools --------------------------------------------------------------------------------------


def called(name: str, arguments: str, content: str | None = None, call_id: str = CALL_ID) -> dict[str, Any]:
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": content, "tool_calls": [call]}


def result(content: str, call_id: str = CALL_ID) -> dict[str, Any]:
    return {"role": "tool", "content": content, "tool_call_id": call_id}


CHAT = (
    message("user", "Weather?"),
    called("get_weather", '{"city": "K\u00f6ln"}'),
    result("rain"),
    called("now", "", "And now"),
    result("noon"),
    result("or so"),
)


def test_a_template_with_tools_gets_them(load_with: LoadWith) -> None:
    tokenizer = load_with(CHATML_WITH_TOOLS)
    text = render_text(tokenizer, *CHAT, tool_use=tool_use())
    assert '"name": "get_weather", "description"' in text
    assert '<tool_call>{"name": "get_weather", "arguments": {"city": "K\u00f6ln"}}</tool_call>' in text
    assert '"now", "arguments": {}}' in text
    assert "<tool_response>rain</tool_response>" in text
    assert "None" not in text
    assert '"parameters": {"type": "object", "properties": {}}' in text  # the function without any


def test_no_tools_are_shown_when_none_may_be_called(load_with: LoadWith) -> None:
    for template in (CHATML_WITH_TOOLS, "{% for m in messages %}{{ m.content }}{% endfor %}"):
        text = render_text(load_with(template), *CHAT[:1], tool_use=tool_use(mode="none"))
        assert "get_weather" not in text


def test_arguments_that_are_no_json_stay_text(load_with: LoadWith) -> None:
    text = render_text(load_with(CHATML_WITH_TOOLS), CHAT[0], called("now", '{"a": '), result("?"))
    assert '"arguments": "{\\"a\\": "' in text


def test_ids_and_names_that_a_template_asks_for(load_with: LoadWith) -> None:
    text = render_text(load_with(SHORT_IDS), *CHAT[:3])
    assert '[TOOL_CALLS]get_weather[ARGS]{"city": "K\u00f6ln"}#f01234567' in text
    assert "tool: rain#f01234567#get_weather;" in text


def test_short_ids_are_filled_up(load_with: LoadWith) -> None:
    text = render_text(load_with(SHORT_IDS), CHAT[0], called("now", "{}", call_id="1"), result("x", "1"))
    assert "#000000001" in text and "#000000001#now" in text


def test_a_template_without_tools_gets_the_standard_prompt(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    text = render_text(tokenizer, message("system", "Be kind."), *CHAT, tool_use=tool_use())
    assert text.startswith("<|begin|><|system|>Be kind.\n\nYou can call functions.")
    assert '<tools>\n{"name": "get_weather", "description": "Does get_weather.", "parameters": {' in text
    assert text.endswith(
        "<|user|>Weather?<|end|>"
        '<|assistant|><tool_call>\n{"name": "get_weather", "arguments": {"city": "K\u00f6ln"}}\n</tool_call>'
        "<|end|>"
        "<|user|><tool_response>\nrain\n</tool_response><|end|>"
        '<|assistant|>And now\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call><|end|>'
        "<|user|><tool_response>\nnoon\n</tool_response>\n<tool_response>\nor so\n</tool_response><|end|>"
        "<|assistant|>"
    )


def test_the_standard_prompt_makes_a_system_message(load_kind: LoadKind) -> None:
    text = render_text(load_kind("byte_level"), CHAT[0], tool_use=tool_use())
    assert text.startswith("<|begin|><|system|>You can call functions.")
    assert text.endswith("<|end|><|user|>Weather?<|end|><|assistant|>")


def test_without_a_system_role_the_standard_prompt_precedes_the_first_text(load_with: LoadWith) -> None:
    text = render_text(load_with(NO_SYSTEM), *CHAT, tool_use=tool_use())
    assert text.startswith("<|user|>You can call functions.")
    assert "without calling any.\n\nWeather?<|assistant|>" in text


def test_earlier_calls_are_written_also_without_tools(load_kind: LoadKind) -> None:
    text = render_text(load_kind("byte_level"), *CHAT[:3])
    assert "You can call" not in text
    assert "<tool_response>\nrain\n</tool_response>" in text


def test_the_request_is_left_as_it_was(load_kind: LoadKind) -> None:
    before = repr((CHAT, TOOLS))
    render_text(load_kind("byte_level"), *CHAT, tool_use=tool_use())
    assert repr((CHAT, TOOLS)) == before


def test_no_content_is_empty_content(load_kind: LoadKind) -> None:
    text = render_text(load_kind("byte_level"), message("user", "Hi"), {"role": "assistant", "content": None})
    assert "<|assistant|><|end|>" in text
