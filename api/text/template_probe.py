"""Finds out what a chat template writes by letting it write: a mark that does not come out is not shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError

from api.text.template_support import TEMPLATE_FAILURES, ArgumentsForm, TemplateSupport

Message = dict[str, Any]
Render = Callable[[Sequence[Message], Sequence[dict[str, Any]] | None], str]
"""Messages and tools to text; raises whatever the template raises."""

_MARK = "probe_of_the_"
_USER, _LATER_USER = _MARK + "user", _MARK + "later_user"
_ANSWER, _LATER_ANSWER = _MARK + "answer", _MARK + "later_answer"
_SYSTEM, _LATER_SYSTEM = _MARK + "system", _MARK + "later_system"
_TOOL, _RESULT = _MARK + "tool", _MARK + "result"
_CALL, _VALUE = _MARK + "call", _MARK + "value"
_LATER_CALL, _LATER_VALUE, _LATER_RESULT = _MARK + "later_call", _MARK + "later_value", _MARK + "later_result"
_LONG_IDS = ("call_0123456789abcdef01234567", "call_89abcdef0123456789abcdef")
_SHORT_IDS = ("abcdef012", "bcdef0123")


def with_parts(message: Message, roles: frozenset[str]) -> Message:
    """Gives the message's content as the list of parts that these roles need."""
    content = message.get("content")
    if message.get("role") not in roles or not isinstance(content, str):
        return message
    return {**message, "content": [{"type": "text", "text": content}]}


def find_template_error(render: Render) -> str | None:
    """Returns what is wrong with a template that no messages can be rendered with; None where it is well."""
    try:
        render([_user(_USER)], None)
    except TemplateSyntaxError as error:
        return f"line {error.lineno}: {error.message}"
    except (TemplateError, *TEMPLATE_FAILURES):
        pass  # these messages do not suit it; others may
    return None


def probe_template(render: Render, *, mentions_developer: bool = False) -> TemplateSupport:
    """Returns what the template supports; it is asked a few dozen times, with the smallest of chats."""
    probe = _Probe(render)
    if not probe.finds_form("user", [_user(_USER)], _USER):
        return TemplateSupport()
    turns = [_user(_USER), _answer(_ANSWER), _user(_LATER_USER)]
    probe.finds_form("assistant", turns, _USER, _ANSWER, _LATER_USER)
    system = probe.finds_form("system", [_system(_SYSTEM), _user(_USER)], _SYSTEM, _USER)
    developer = mentions_developer and probe.finds_form(
        "developer", [_developer(_SYSTEM), _user(_USER)], _SYSTEM, _USER
    )
    support = TemplateSupport(
        system=system,
        late_system=system and probe.shows_late("system"),
        developer=developer,
        late_developer=developer and probe.shows_late("developer"),
        user_runs=probe.shows([_user(_USER), _user(_LATER_USER)], _USER, _LATER_USER),
        assistant_runs=probe.shows(
            [_user(_USER), _answer(_ANSWER), _answer(_LATER_ANSWER), _user(_LATER_USER)],
            *(_ANSWER, _LATER_ANSWER, _LATER_USER),
        ),
        opening_answer=probe.shows([_answer(_ANSWER), _user(_USER)], _ANSWER, _USER),
    )
    support = _probe_tools(probe, support)
    return replace(support, content_parts=frozenset(probe.part_roles))


class _Probe:
    """Renders chats, each role's content in the form that was found for it."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self.part_roles: set[str] = set()
        self.tools: list[dict[str, Any]] | None = None

    def text(self, messages: Sequence[Message]) -> str:
        roles = frozenset(self.part_roles)
        try:
            return self._render([with_parts(message, roles) for message in messages], self.tools)
        except (TemplateError, *TEMPLATE_FAILURES):
            return ""

    def shows(self, messages: Sequence[Message], *marks: str) -> bool:
        text = self.text(messages)
        return all(mark in text for mark in marks)

    def finds_form(self, role: str, messages: Sequence[Message], *marks: str) -> bool:
        """Decides whether the role's content is read as a string or only as parts; False for neither."""
        if self.shows(messages, *marks):
            return True
        self.part_roles.add(role)
        if self.shows(messages, *marks):
            return True
        self.part_roles.remove(role)
        return False

    def shows_late(self, role: str) -> bool:
        first, later = ({"role": role, "content": text} for text in (_SYSTEM, _LATER_SYSTEM))
        in_a_row = [first, later, _user(_USER)]
        in_between = [first, _user(_USER), _answer(_ANSWER), later, _user(_LATER_USER)]
        return self.shows(in_a_row, _SYSTEM, _LATER_SYSTEM, _USER) and self.shows(
            in_between, _SYSTEM, _USER, _ANSWER, _LATER_SYSTEM, _LATER_USER
        )


def _probe_tools(probe: _Probe, support: TemplateSupport) -> TemplateSupport:
    probe.tools = [_function(_TOOL)]
    has_tools = probe.shows([_user(_USER)], _TOOL, _USER)
    needs_system = not has_tools and probe.shows([_system(""), _user(_USER)], _TOOL, _USER)
    if not has_tools and not needs_system:
        probe.tools = None
    before = [_system(""), _user(_USER)] if needs_system else [_user(_USER)]
    support = replace(support, tools=has_tools or needs_system, tools_need_system=needs_system)
    for takes_text, ids in product((False, True), (_LONG_IDS, _SHORT_IDS)):
        chat = [*before, *_call_messages(ids[:1], takes_text=takes_text)]
        if probe.finds_form("tool", chat, _CALL, _VALUE, _RESULT):
            return _probe_calls(probe, support, before, ids, takes_text)
    text = probe.text([*before, *_call_messages(_LONG_IDS[:1], takes_text=False)])
    return replace(support, tool_calls=_CALL in text and _VALUE in text, tool_results=_RESULT in text)


def _probe_calls(
    probe: _Probe, support: TemplateSupport, before: list[Message], ids: tuple[str, ...], takes_text: bool
) -> TemplateSupport:
    both = [*before, *_call_messages(ids, takes_text=takes_text), _answer(_LATER_ANSWER), _user(_LATER_USER)]
    # Texts before calls are reasoning to some templates, which they drop once there is a final answer.
    spoken = [*_call_messages(ids[:1], takes_text=takes_text, content=_ANSWER), _answer(_LATER_ANSWER)]
    cut = _call_messages(ids[:1], takes_text=True, arguments='{"key": "' + _VALUE)
    takes_cut = probe.shows([*before, *cut], _CALL, _VALUE)
    form: ArgumentsForm = "either" if takes_cut else "object"
    if takes_text:
        form = "text" if takes_cut else "json"
    return replace(
        support,
        tool_calls=True,
        tool_results=True,
        content_beside_calls=probe.shows([*before, *spoken, _user(_LATER_USER)], _ANSWER, _CALL, _VALUE),
        parallel_calls=probe.shows(both, *(_CALL, _VALUE, _LATER_VALUE, _RESULT, _LATER_RESULT)),
        arguments=form,
        call_id_length=len(ids[0]) if ids is _SHORT_IDS else None,
    )


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _answer(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _system(text: str) -> Message:
    return {"role": "system", "content": text}


def _developer(text: str) -> Message:
    return {"role": "developer", "content": text}


def _function(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
    return {
        "type": "function",
        "function": {"name": name, "description": "A function.", "parameters": parameters},
    }


def _call_messages(
    ids: Sequence[str], *, takes_text: bool, content: str = "", arguments: str | None = None
) -> list[Message]:
    """An assistant's message with one call for each id, and the calls' results."""
    calls: list[dict[str, Any]] = []
    results: list[Message] = []
    rows = zip(
        ids, (_CALL, _LATER_CALL), (_VALUE, _LATER_VALUE), (_RESULT, _LATER_RESULT), strict=False
    )  # as many as there are ids
    for call_id, name, value, result in rows:
        given: Any = {"key": value}
        if takes_text:
            given = arguments or json.dumps(given)
        calls.append({"id": call_id, "type": "function", "function": {"name": name, "arguments": given}})
        results.append({"role": "tool", "content": result, "tool_call_id": call_id, "name": name})
    return [{"role": "assistant", "content": content, "tool_calls": calls}, *results]
