from __future__ import annotations

from typing import Any

import pytest

from api.text.message_folding import fold_messages
from api.text.template_support import TemplateSupport

ALL = TemplateSupport(
    system=True,
    late_system=True,
    developer=True,
    late_developer=True,
    user_runs=True,
    assistant_runs=True,
    opening_answer=True,
    content_beside_calls=True,
    parallel_calls=True,
)

Message = dict[str, Any]


def with_less(**fields: Any) -> TemplateSupport:
    values = {name: getattr(ALL, name) for name in ALL.__slots__}
    return TemplateSupport(**(values | fields))


def chat(text: str) -> list[Message]:
    """``"s:Be kind. u:Hi"`` to messages."""
    roles = {"s": "system", "d": "developer", "u": "user", "a": "assistant", "t": "tool"}
    pairs = (word.split(":") for word in text.split())
    return [{"role": roles[letter], "content": content} for letter, content in pairs]


def short(messages: list[Message]) -> str:
    return " ".join(f"{each['role'][0]}:{each['content']}" for each in messages).replace("\n\n", "+")


@pytest.mark.parametrize(
    ("missing", "before", "after"),
    [
        ("late_system", "s:1 s:2 u:3 a:4 s:5 u:6", "s:1+2 u:3 a:4 u:5+6"),
        ("late_system", "u:1 a:2 s:3", "u:1 a:2 u:3"),
        ("late_system", "u:1 s:2 a:3 u:4", "u:1 u:2 a:3 u:4"),
        ("late_system", "u:1 a:2 s:3 t:4 a:5", "u:1 a:2 t:4 u:3 a:5"),
        ("late_system", "u:1 s:2 s:3 u:4", "u:1 u:2+3+4"),
        ("late_developer", "d:1 d:2 u:3 a:4 d:5 u:6", "d:1+2 u:3 a:4 u:5+6"),
        ("late_developer", "s:1 d:2 u:3", "s:1+2 u:3"),
        ("system", "s:1 u:2 a:3 s:4 u:5", "u:1+2 a:3 u:4+5"),
        ("system", "s:1 a:2", "u:1 a:2"),
        ("system", "s:1", "u:1"),
        ("system", "s: u:2", "u:2"),
        ("user_runs", "u:1 u:2 a:3 u:4 u:5 u:6", "u:1+2 a:3 u:4+5+6"),
        ("assistant_runs", "u:1 a:2 a:3 u:4", "u:1 a:2+3 u:4"),
        ("opening_answer", "a:1 u:2", "u: a:1 u:2"),
        ("opening_answer", "s:1 a:2 u:3", "s:1 u: a:2 u:3"),
    ],
)
def test_what_is_not_taken_goes_where_it_is(missing: str, before: str, after: str) -> None:
    messages = chat(before)
    assert short(fold_messages(messages, with_less(**{missing: False}))) == after
    assert short(messages) == before
    assert fold_messages(messages, ALL) == messages


def test_a_template_that_takes_turns_only_gets_turns() -> None:
    folded = fold_messages(chat("s:1 s:2 a:3 u:4 u:5 s:6 a:7 a:8 s:9"), TemplateSupport())
    assert short(folded) == "u:1+2 a:3 u:4+5+6 a:7+8 u:9"


def test_content_becomes_parts_for_the_roles_that_need_them() -> None:
    folded = fold_messages(chat("s:1 u:2"), with_less(content_parts=frozenset({"user"})))
    assert [each["content"] for each in folded] == ["1", [{"type": "text", "text": "2"}]]


def test_a_name_that_is_not_shared_does_not_outlive_a_merge() -> None:
    ann, bob = ({"role": "user", "content": name, "name": name} for name in ("ann", "bob"))
    assert "name" not in fold_messages([ann, bob], TemplateSupport())[0]
    assert fold_messages([ann, ann], TemplateSupport())[0]["name"] == "ann"


# --- calls ---------------------------------------------------------------------------------------


def calling(*ids: str, content: str = "") -> Message:
    calls = [{"id": each, "function": {"name": f"f{each}", "arguments": {}}} for each in ids]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def result(call_id: str) -> Message:
    return {"role": "tool", "content": f"r{call_id}", "tool_call_id": call_id}


def test_text_beside_calls_becomes_a_message_of_its_own() -> None:
    said, called = fold_messages([calling("1", content="Wait")], with_less(content_beside_calls=False))
    assert said == {"role": "assistant", "content": "Wait"}
    assert called == calling("1")


def test_calls_of_one_message_become_several_each_with_its_result() -> None:
    messages = [calling("1", "2", content="Wait"), result("2"), result("1"), *chat("a:3")]
    folded = fold_messages(messages, with_less(parallel_calls=False))
    assert folded == [calling("1", content="Wait"), result("1"), calling("2"), result("2"), *chat("a:3")]


def test_a_result_of_no_call_is_kept() -> None:
    folded = fold_messages([calling("1", "2"), result("9")], with_less(parallel_calls=False))
    assert folded == [calling("1"), calling("2"), result("9")]


def test_calls_are_joined_to_the_text_before_them_where_that_is_shown() -> None:
    messages = [*chat("u:1 a:2"), calling("1", content="3")]
    joined, apart = (
        fold_messages(messages, with_less(assistant_runs=False, content_beside_calls=shown))
        for shown in (True, False)
    )
    assert joined[1] == calling("1", content="2\n\n3")
    assert apart == messages
