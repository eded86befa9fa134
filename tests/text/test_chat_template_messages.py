"""No message is missing in a prompt, whatever the template takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.errors import InvalidRequestError
from api.text.chat_messages import arrange_messages, prepare_messages
from api.text.chat_template import render_chat
from api.text.template_support import TemplateSupport
from api.text.tokenizer import Tokenizer
from api.types import ChatPrompt
from tests.text import templates
from tests.text.conftest import TEMPLATE
from tests.text.streams import tool_use

LoadWith = Callable[..., Tokenizer]
Message = dict[str, Any]

ALL_TEMPLATES = [
    TEMPLATE,
    templates.NO_SYSTEM,
    templates.CHATML_WITH_TOOLS,
    templates.SHORT_IDS,
    templates.BARE_JSON,
    templates.HARMONY,
    templates.PARTS_ONLY,
    templates.TWO_ROLES,
    templates.SYSTEM_FIRST,
    templates.LAST_SYSTEM,
    templates.SYSTEM_LAST,
    templates.ONE_CALL,
    templates.WALKED_ARGUMENTS,
    templates.TEXT_ARGUMENTS,
    templates.TOOLS_IN_SYSTEM,
    templates.DEVELOPER_FIRST,
]


def said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def calling(*places: str, content: str | None = None) -> Message:
    calls = [
        {
            "id": f"call_0000000000000{place}",
            "type": "function",
            "function": {"name": "get_weather", "arguments": f'{{"city": "{place}"}}'},
        }
        for place in places
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def result(place: str) -> Message:
    return {"role": "tool", "content": f"rain_in_{place}", "tool_call_id": f"call_0000000000000{place}"}


SYSTEM, DEVELOPER = said("system", "System_one."), said("developer", "Developer_one.")
USER, ANSWER = said("user", "User_one?"), said("assistant", "Answer_one.")
LATER_USER, LATER_ANSWER = said("user", "User_two?"), said("assistant", "Answer_two.")
LATER_SYSTEM = said("system", "System_two.")

CHATS: dict[str, list[Message]] = {
    "system": [SYSTEM, USER],
    "two_systems": [SYSTEM, LATER_SYSTEM, USER],
    "late_system": [SYSTEM, USER, ANSWER, LATER_SYSTEM, LATER_USER],
    "system_at_the_end": [USER, SYSTEM],
    "system_alone": [SYSTEM],
    "developer": [DEVELOPER, USER],
    "system_and_developer": [SYSTEM, DEVELOPER, USER],
    "late_developer": [USER, ANSWER, DEVELOPER, LATER_USER],
    "two_users": [USER, LATER_USER],
    "two_answers": [USER, ANSWER, LATER_ANSWER, LATER_USER],
    "answer_first": [ANSWER, USER],
    "call": [SYSTEM, USER, calling("Bonn"), result("Bonn")],
    "two_calls": [USER, calling("Bonn", "Ulm"), result("Ulm"), result("Bonn"), ANSWER, LATER_USER],
    "text_beside_a_call": [USER, calling("Bonn", content="Wait_one."), result("Bonn"), ANSWER, LATER_USER],
    "question_after_a_result": [USER, calling("Bonn"), result("Bonn"), LATER_USER],
    "system_before_a_result": [USER, calling("Bonn"), SYSTEM, result("Bonn"), ANSWER],
}


def texts_of(chat: list[Message]) -> list[str]:
    texts = [message["content"] for message in chat if message["content"]]
    calls = [call for message in chat for call in message.get("tool_calls", ())]
    return texts + [call["function"]["arguments"][len('{"city": "') : -2] for call in calls]


def render(tokenizer: Tokenizer, *messages: Message, **fields: Any) -> str:
    return render_chat(tokenizer, ChatPrompt(messages, **fields)).text


@pytest.mark.parametrize("with_tools", [False, True])
@pytest.mark.parametrize("chat", CHATS.values(), ids=CHATS)
def test_every_text_is_in_every_prompt(load_with: LoadWith, chat: list[Message], with_tools: bool) -> None:
    for template in ALL_TEMPLATES:
        text = render(load_with(template), *chat, tool_use=tool_use() if with_tools else None)
        wanted = texts_of(chat) + (["get_weather"] if with_tools else [])
        assert [each for each in wanted if each not in text] == [], template


def test_content_goes_as_parts_where_strings_are_not_read(load_with: LoadWith) -> None:
    text = render(load_with(templates.PARTS_ONLY), SYSTEM, USER, ANSWER, LATER_USER)
    assert text == (
        "<|system|>System_one.<|end|><|user|>User_one?<|end|>"
        "<|assistant|>Answer_one.<|end|><|user|>User_two?<|end|>"
    )


def test_a_continued_message_may_be_in_parts(load_with: LoadWith) -> None:
    text = render(
        load_with(templates.PARTS_ONLY), USER, said("assistant", "In Par"), continue_final_message=True
    )
    assert text == "<|user|>User_one?<|end|><|assistant|>In Par"


def test_a_system_message_goes_into_the_user_message_that_follows(load_with: LoadWith) -> None:
    text = render(load_with(templates.TWO_ROLES), SYSTEM, USER, ANSWER, LATER_SYSTEM, LATER_USER)
    assert text == (
        "<|user|>System_one.\n\nUser_one?<|end|><|assistant|>Answer_one.<|end|>"
        "<|user|>System_two.\n\nUser_two?<|end|>"
    )


def test_a_late_system_message_leaves_the_first_where_it_is(load_with: LoadWith) -> None:
    text = render(load_with(templates.SYSTEM_FIRST), SYSTEM, USER, ANSWER, LATER_SYSTEM, LATER_USER)
    assert text.lstrip().startswith("<|system|>System_one.<|end|>")
    assert text.endswith("<|user|>System_two.\n\nUser_two?<|end|>")


def test_the_tool_prompt_is_where_it_is_shown(load_with: LoadWith) -> None:
    text = render(load_with(templates.TWO_ROLES), SYSTEM, USER, tool_use=tool_use())
    assert text.startswith("<|user|>System_one.\n\nYou can call functions.")
    assert text.endswith("without calling any.\n\nUser_one?<|end|>")


def test_tools_that_need_a_system_message_get_one(load_with: LoadWith) -> None:
    text = render(load_with(templates.TOOLS_IN_SYSTEM), USER, tool_use=tool_use())
    assert text.startswith('<|system|>[{"type": "function"')


def test_a_system_message_that_only_some_chats_show_is_moved_in_the_others(load_with: LoadWith) -> None:
    tokenizer = load_with(templates.SYSTEM_LAST)
    assert render(tokenizer, SYSTEM, USER) == "[INST]System_one.;User_one?[/INST]"
    called = render(tokenizer, SYSTEM, USER, calling("Bonn"), result("Bonn"))
    assert "[INST]System_one.\n\nUser_one?[/INST]" in called


def test_a_call_each_where_one_is_all_that_a_message_may_have(load_with: LoadWith) -> None:
    text = render(
        load_with(templates.ONE_CALL),
        *(USER, calling("Bonn", "Ulm", content="Wait_one."), result("Ulm"), result("Bonn")),
        tool_use=tool_use(),
    )
    places = [text.index(each) for each in ("Wait_one.", '"Bonn"', "rain_in_Bonn", '"Ulm"', "rain_in_Ulm")]
    assert places == sorted(places)


def test_a_switch_in_a_system_message_is_left_to_the_template(load_with: LoadWith) -> None:
    chat = said("system", "Be brief. /no_think"), USER
    assert render(load_with(templates.SWITCH), *chat) == "<|system|>Be brief.<|end|><|user|>User_one?<|end|>"


def test_a_message_that_cannot_be_shown_is_refused_by_its_place(load_with: LoadWith) -> None:
    tokenizer = load_with(templates.LAST_ONLY)
    assert render(tokenizer, USER) == "<|user|>User_one?<|end|>"
    with pytest.raises(InvalidRequestError, match=r"user message messages\[0\]") as caught:
        render(tokenizer, USER, ANSWER, LATER_USER)
    assert caught.value.param == "messages[0]"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ('{"a": 1}', "<a>1</a>"),
        ({"a": 1}, "<a>1</a>"),
        ("", ""),
        (" ", ""),
        ("null", ""),
        (None, ""),
        ("{}", ""),
        ({}, ""),
        ('{"a": ', '<arguments>{"a": </arguments>'),
        ('"Beijing"', '<arguments>"Beijing"</arguments>'),
        ("[1]", "<arguments>[1]</arguments>"),
        ("5", "<arguments>5</arguments>"),
        ("[" * 100_000, "<arguments>" + "[" * 100_000 + "</arguments>"),
    ],
)
def test_arguments_are_an_object_for_templates_that_walk_through_them(
    load_with: LoadWith, arguments: Any, shown: str
) -> None:
    call = calling("x")
    call["tool_calls"][0]["function"]["arguments"] = arguments
    chat = USER, call, result("x"), ANSWER, LATER_USER
    text = render(load_with(templates.WALKED_ARGUMENTS), *chat, tool_use=tool_use())
    assert f"<call get_weather>{shown}<|end|>" in text


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [('{"a":1}', '{"a": 1}'), (None, "{}"), ('{"a": ', '{"a": '), ("[1]", "[1]"), ({"a": 1}, '{"a": 1}')],
)
def test_arguments_are_text_for_templates_that_append_them(
    load_with: LoadWith, arguments: Any, shown: str
) -> None:
    call = calling("x")
    call["tool_calls"][0]["function"]["arguments"] = arguments
    text = render(load_with(templates.TEXT_ARGUMENTS), USER, call, result("x"), tool_use=tool_use())
    assert f"<call>get_weather{shown}<|end|>" in text


@pytest.mark.parametrize(
    ("form", "arguments", "shown"),
    [
        ("object", '{"a": 1}', {"a": 1}),
        ("object", "[1]", {"arguments": "[1]"}),
        ("either", '{"a": 1}', {"a": 1}),
        ("either", "[1]", "[1]"),
        ("text", '{"a": 1}', '{"a": 1}'),
        ("text", "[1]", "[1]"),
        ("json", '{"a": 1}', '{"a": 1}'),
        ("json", "[1]", '{"arguments": "[1]"}'),
    ],
)
def test_arguments_have_the_form_that_the_template_takes(form: Any, arguments: str, shown: Any) -> None:
    support = TemplateSupport(tools=True, tool_calls=True, parallel_calls=True, arguments=form)
    call = calling("x")
    call["tool_calls"][0]["function"]["arguments"] = arguments
    messages, _ = arrange_messages(prepare_messages([USER, call], support), [], support)
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == shown


def test_a_result_has_the_name_of_the_call_that_it_answers() -> None:
    chat = [USER, calling("Bonn", "Ulm"), result("Ulm"), result("Bonn") | {"name": "mine"}, result("Rome")]
    chat[1]["tool_calls"][1]["function"]["name"] = "get_time"
    prepared = prepare_messages(chat, TemplateSupport(call_id_length=9))
    assert [message.get("name") for message in prepared[2:]] == ["get_time", "mine", None]
    assert "name" not in chat[2]
