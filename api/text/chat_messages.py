"""A request's messages in the form that chat templates read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from api.text.message_folding import fold_messages
from api.text.template_support import ArgumentsForm, TemplateSupport
from api.text.tool_calls.parsing import with_parameters
from api.text.tool_calls.prompt import Message, with_plain_roles, with_tool_prompt


def prepare_messages(messages: Iterable[Mapping[str, Any]], support: TemplateSupport) -> list[Message]:
    """Returns one message for each, with the arguments of calls as objects where they are."""
    return [_prepare(message, support) for message in _with_tool_names(messages)]


def arrange_messages(
    messages: Sequence[Message], shown_tools: Sequence[dict[str, Any]], support: TemplateSupport
) -> tuple[list[Message], list[dict[str, Any]] | None]:
    """Returns messages and tools as the template takes them; None where the messages tell of the tools."""
    arranged = with_plain_roles(messages, support)
    tools = None
    if shown_tools and not support.tools:
        arranged = with_tool_prompt(arranged, shown_tools)
    elif shown_tools:
        tools = with_parameters(shown_tools)
        if support.tools_need_system and arranged[0].get("role") != "system":
            arranged = [{"role": "system", "content": ""}, *arranged]
    arranged = fold_messages(arranged, support)
    return [_with_arguments(message, support.arguments) for message in arranged], tools


def _prepare(message: Mapping[str, Any], support: TemplateSupport) -> Message:
    prepared = dict(message)
    if prepared.get("role") == "developer" and not support.developer:
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


def _read_arguments(arguments: Any) -> dict[str, Any] | str:
    """Returns the object; the text as it is where it is none, such as of a call that was cut off."""
    if not isinstance(arguments, str):
        return dict(arguments or {})
    try:
        read = json.loads(arguments) if arguments.strip() else None
    except (ValueError, RecursionError):
        return arguments
    if read is None:
        return {}
    return read if isinstance(read, dict) else arguments


def _with_arguments(message: Message, form: ArgumentsForm) -> Message:
    if not message.get("tool_calls"):
        return message
    return {**message, "tool_calls": [_call_with_arguments(call, form) for call in message["tool_calls"]]}


def _call_with_arguments(call: dict[str, Any], form: ArgumentsForm) -> dict[str, Any]:
    """Templates that walk through the arguments get an object also where there is none."""
    arguments = call["function"]["arguments"]
    if isinstance(arguments, str) and form in ("object", "json"):
        arguments = {"arguments": arguments}
    if isinstance(arguments, dict) and form in ("text", "json"):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": arguments}}


def _fitting_id(call_id: Any, support: TemplateSupport) -> Any:
    """Cuts the front off: the ends of our ids are random, and so are most others'."""
    length = support.call_id_length
    return call_id[-length:].rjust(length, "0") if length and isinstance(call_id, str) else call_id


def _with_tool_names(messages: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Names each result's function, which OpenAI's messages leave out and some templates write."""
    names: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            names[call.get("id")] = call["function"]["name"]
        name = names.get(message.get("tool_call_id", "")) if message.get("role") == "tool" else None
        yield message if name is None or "name" in message else {**message, "name": name}
