from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from api.text.tool_calls.formats import STANDARD_FORMAT, ToolCallFormat
from api.text.tool_calls.parsing import parse_calls, with_parameters
from tests.text.streams import TOOLS, tool_use


def declared(parser: Callable[..., Any]) -> ToolCallFormat:
    return ToolCallFormat("<", ">", is_json=False, parse=parser)


def mlx_parser(name: str) -> ToolCallFormat:
    return declared(import_module(f"mlx_lm.tool_parsers.{name}").parse_tool_call)


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('{"name": "now", "arguments": {}}', [("now", "{}")]),
        ('\n{"arguments": {"city": "Köln"}, "name": "get_weather"}', [("get_weather", '{"city": "Köln"}')]),
        ('{"name": "get_weather", "parameters": {"days": 2}}', [("get_weather", '{"days": 2}')]),
        ('{"name": "now", "arguments": "{\\"a\\":  1}"}', [("now", '{"a":  1}')]),
        ('{"name": "now", "arguments": ""}', [("now", "{}")]),
        ('{"name": "now"}', [("now", "{}")]),
        ('{"name": "now", "arguments": {"a": "b\nc",},}', [("now", '{"a": "b\\nc"}')]),
        ('{"name": "now", "arguments": "{\'a\': True,}"}', [("now", '{"a": true}')]),
        ('[{"name": "now"}, {"name": "now"}]', [("now", "{}"), ("now", "{}")]),
        ('{"name": "rm", "arguments": {}}', []),
        ('[{"name": "now"}, {"name": "rm"}]', []),
        ('{"name": ["now"], "arguments": {}}', []),
        ('{"name": "now", "arguments": [1]}', []),
        ('{"name": "now", "arguments": "no JSON"}', []),
        ('{"name": "now", "arguments": {"a": NaN}}', []),
        ('{"name": "now", "arguments": {"a": "\\ud800"}}', []),
        ('{"arguments": {}}', []),
        ("[]", []),
        ("5", []),
        ("", []),
        ("[" * 100_000, []),
    ],
)
def test_json_calls(text: str, calls: list[tuple[str, str]]) -> None:
    assert parse_calls(text, STANDARD_FORMAT, tool_use()) == calls


XML = (
    "<function=get_weather>\n<parameter=city>\nKöln\n</parameter>\n"
    "<parameter=days>\n2\n</parameter>\n</function>"
)
GLM = (
    "get_weather\n<arg_key>city</arg_key>\n<arg_value>Köln</arg_value>"
    "<arg_key>days</arg_key><arg_value>2</arg_value>"
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("qwen3_coder", XML),
        ("glm47", GLM),
        ("longcat", GLM.replace("arg_", "longcat_arg_")),
        ("pythonic", '[get_weather(city="Köln", days=2)]'),
        ("gemma4", 'call:get_weather{city:<|"|>Köln<|"|>,days:2}'),
        ("function_gemma", "call:get_weather{city:<escape>Köln<escape>,days:2}"),
        (
            "minimax_m2",
            '<invoke name="get_weather"><parameter name="city">Köln</parameter>'
            '<parameter name="days">2</parameter></invoke>',
        ),
        ("minicpm5", '"get_weather"><param name="city">Köln</param><param name="days">2</param>'),
        ("mistral", 'get_weather[ARGS]{"city": "Köln", "days": 2}'),
        ("kimi_k2", 'functions.get_weather:0<|tool_call_argument_begin|>{"city": "Köln", "days": 2}'),
    ],
)
def test_the_parsers_of_mlx_lm(name: str, text: str) -> None:
    ((called, arguments),) = parse_calls(text, mlx_parser(name), tool_use())
    assert (called, json.loads(arguments)) == ("get_weather", {"city": "Köln", "days": 2})
    assert "Köln" in arguments  # not escaped


@pytest.mark.parametrize("name", ["qwen3_coder", "glm47", "pythonic", "gemma4", "kimi_k3", "muse_spark"])
def test_json_is_understood_in_every_format(name: str) -> None:
    text = '{"name": "get_weather", "arguments": {"days": 2}}'
    assert parse_calls(text, mlx_parser(name), tool_use()) == [("get_weather", '{"days": 2}')]


@pytest.mark.parametrize(
    "parser",
    [
        lambda text, tools: None.group(1),  # type: ignore[attr-defined]
        lambda text, tools: int(float("inf")),
        lambda text, tools: eval("("),
        lambda text, tools: [][0],
        lambda text, tools: {"name": "now", "arguments": {"a": {1, 2}}},
    ],
)
def test_whatever_a_parser_does_nothing_is_raised(parser: Callable[..., Any]) -> None:
    assert parse_calls("x", declared(parser), tool_use()) == []


def test_functions_without_parameters_get_an_empty_schema() -> None:
    seen: list[Any] = []

    def parser(text: str, tools: Any) -> Any:
        seen.extend(tools)
        return {"name": "now", "arguments": {}}

    assert parse_calls("x", declared(parser), tool_use()) == [("now", "{}")]
    assert [sorted(tool["function"]["parameters"]["properties"]) for tool in seen] == [["city", "days"], []]
    assert with_parameters([TOOLS[0]]) == [TOOLS[0]]
    assert "parameters" not in TOOLS[1]["function"]
