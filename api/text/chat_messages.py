"""A request's messages in the form that chat templates read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from api.text.template_support import TemplateSupport
from api.text.tool_calls.parsing import with_parameters
from api.text.tool_calls.prompt import Message, with_plain_roles, with_tool_prompt


def prepare_messages(
    messages: Sequence[Mapping[str, Any]],
    shown_tools: Sequence[dict[str, Any]],
    support: TemplateSupport,
    *,
    knows_developer: bool,
) -> tuple[list[Message], list[dict[str, Any]] | None]:
    """Returns the messages and the tools for the template; None where the messages tell of the tools."""
    prepared = _with_tool_names([_prepare(message, support, knows_developer) for message in messages])
    prepared = with_plain_roles(prepared, support)
    if shown_tools and not support.tools:
        return with_tool_prompt(prepared, shown_tools, support), None
    return prepared, with_parameters(shown_tools) or None


def _prepare(message: Mapping[str, Any], support: TemplateSupport, knows_developer: bool) -> Message:
    prepared = dict(message)
    if prepared.get("role") == "developer" and not knows_developer:
        prepared["role"] = "system"
    if prepared.get("content") is None:
        prepared["content"] = ""
    if prepared.get("tool_calls"):
        prepared["tool_calls"] = [_prepare_call(call, support) for call in prepared["tool_calls"]]
    if "tool_call_id" in prepared:
        prepared["tool_call_id"] = _fitting_id(prepared["tool_call_id"], support)
    return prepared


def _prepare_call(call: Mapping[str, Any], support: TemplateSupport) -> dict[str, Any]:
    function = {**call["function"], "arguments": _read_arguments(call["function"].get("arguments"))}
    prepared = {"type": "function", **call, "function": function}
    if "id" in prepared:
        prepared["id"] = _fitting_id(prepared["id"], support)
    return prepared


def _read_arguments(arguments: Any) -> Any:
    """Returns the object, which templates turn into JSON themselves; a text that is none stays one."""
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    try:
        return json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments


def _fitting_id(call_id: Any, support: TemplateSupport) -> Any:
    """Cuts the front off: the ends of our ids are random, and so are most others'."""
    length = support.call_id_length
    return call_id[-length:].rjust(length, "0") if length and isinstance(call_id, str) else call_id


def _with_tool_names(messages: Iterable[Message]) -> list[Message]:
    """Names each result's function, which OpenAI's messages leave out and some templates write."""
    names: dict[str, str] = {}
    named: list[Message] = []
    for message in messages:
        for call in message.get("tool_calls") or ():
            names[call.get("id")] = call["function"]["name"]
        if message.get("role") == "tool" and message.get("tool_call_id") in names:
            message = {"name": names[message["tool_call_id"]], **message}
        named.append(message)
    return named
