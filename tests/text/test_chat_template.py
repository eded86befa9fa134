from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.errors import InvalidRequestError, MissingChatTemplateError
from api.text.chat_template import render_chat
from api.text.tokenizer import Tokenizer

LoadKind = Callable[[str], Tokenizer]
WithTemplate = Callable[[str | None], Tokenizer]


def message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def render(tokenizer: Tokenizer, *messages: dict[str, Any], continued: bool = False) -> list[int]:
    return render_chat(tokenizer, messages, continue_final_message=continued)


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


def test_continues_only_the_assistant(load_kind: LoadKind) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        render(load_kind("byte_level"), message("user", "Hello"), continued=True)
    assert caught.value.param == "continue_final_message"


def test_unknown_developer_becomes_system(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    chat = message("developer", "Be kind."), message("user", "Hello")
    assert render(tokenizer, *chat) == render(tokenizer, message("system", "Be kind."), chat[1])
    assert chat[0]["role"] == "developer"


def test_known_developer_stays(with_template: WithTemplate) -> None:
    tokenizer = with_template("{% for m in messages %}{{ m.role }};{% endfor %}{# developer #}")
    assert tokenizer.decode(render(tokenizer, message("developer", "x"))) == "developer;"


def test_no_template(with_template: WithTemplate) -> None:
    with pytest.raises(MissingChatTemplateError):
        render(with_template(None), message("user", "Hello"))


def test_refusal_carries_the_templates_words(load_kind: LoadKind) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        render(load_kind("byte_level"), message("tool", "5"))
    assert (caught.value.message, caught.value.param) == ("Unknown role tool", "messages")


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
