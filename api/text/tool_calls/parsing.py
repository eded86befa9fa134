"""A call's whole text to names and arguments, all or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from api.text.tool_calls.formats import Parser, ToolCallFormat, parse_json_call
from api.text.tool_calls.json_object import valid_json
from api.text.tool_calls.stand_ins import StandIns
from api.types import ToolUse

# Parsers are written for what a model should write. What they raise for what it did write:
_PARSER_FAILURES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)
# What an empty schema stands for: parsers and templates look for properties in it.
_ANY_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


def parse_calls(text: str, tool_format: ToolCallFormat, tool_use: ToolUse) -> list[tuple[str, str]]:
    """Returns the name and the arguments' JSON of each call; nothing if any of it is no valid call."""
    tools = with_parameters(tool_use.tools)
    for parse in dict.fromkeys((_with_stand_ins(tool_format, tool_use), parse_json_call)):
        if calls := _parse(parse, text, tools, tool_use.callable_names):
            return calls
    return []


def _with_stand_ins(tool_format: ToolCallFormat, tool_use: ToolUse) -> Parser:
    """Returns the format's parser, which is shown names that it can read."""
    place = tool_format.name_place
    if place is None:
        return tool_format.parse

    def parse(text: str, tools: list[dict[str, Any]] | None) -> Any:
        stand_ins = StandIns(text, tool_use.callable_names, place)
        parsed = tool_format.parse(stand_ins.text, tools)
        calls = parsed if isinstance(parsed, list) else [parsed]
        return [
            {"name": stand_ins.name_of(call["name"]), "arguments": stand_ins.restore(call["arguments"])}
            for call in calls
        ]

    return parse


def with_parameters(tools: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gives functions with an empty schema, or none, one that parsers and templates can read."""
    return [{**tool, "function": _with_parameters(tool["function"])} for tool in tools]


def _with_parameters(function: dict[str, Any]) -> dict[str, Any]:
    return {**function, "parameters": function.get("parameters") or _ANY_PARAMETERS}


def _parse(
    parse: Parser, text: str, tools: list[dict[str, Any]], callable_names: tuple[str, ...]
) -> list[tuple[str, str]]:
    try:
        parsed = parse(text, tools)
        return [_read(call, callable_names) for call in (parsed if isinstance(parsed, list) else [parsed])]
    except _PARSER_FAILURES:
        return []


def _read(call: Any, callable_names: tuple[str, ...]) -> tuple[str, str]:
    """Raises for what is no call of a known function."""
    name = call["name"]
    if name not in callable_names:
        raise ValueError("unknown function")
    return name, _arguments_json(call.get("arguments", call.get("parameters")))


def _arguments_json(arguments: Any) -> str:
    if isinstance(arguments, str):  # some models write the object as a string
        text = valid_json(arguments.strip() or "{}")
        arguments = json.loads(text)
    else:
        arguments = {} if arguments is None else arguments
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    if not isinstance(arguments, dict):
        raise ValueError("arguments are an object")
    text.encode("utf-8")  # lone surrogates cannot be sent
    return text
