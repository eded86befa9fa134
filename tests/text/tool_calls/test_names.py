"""Every name that OpenAI allows, in every format."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import mlx_lm.tool_parsers
import pytest

from api.text.answer_form import AnswerForm
from api.text.output_pipeline import build_pipeline
from api.text.tokenizer import Tokenizer
from api.text.tool_calls.formats import ToolCallFormat, declared_format, find_tool_call_format
from api.text.tool_calls.parsing import parse_calls
from api.text.tool_calls.stand_ins import StandIns
from api.types import ToolUse
from tests.text.streams import function, joined, stream
from tests.text.templates import HARMONY, HARMONY_TOKENS

LoadWith = Callable[..., Tokenizer]
NAMES = (
    "get_weather",
    "files.read",
    "mcp:read-file",
    "a-b",
    "get",
    "get.it",
    "read-file",
    "read",
    "1.5",
    "import",
    "functions.x",
    "a:1",
)
CITY = "a-b (get.it) get.it[ARGS] call:a-b{ 1.5"
ARG = "<arg_key>city</arg_key><arg_value>{city}</arg_value>"
OPEN, CLOSE, SEP = "<|open|>", "<|close|>", "<|sep|>"
K3_ARGUMENT = f'{OPEN}argument key="city" type="string"{SEP}{{city}}{CLOSE}argument{SEP}'

# How each parser's model writes a call with the argument "city", without the markers around it.
WRITTEN = {
    "function_gemma": "call:{name}{{city:<escape>{city}<escape>}}",
    "gemma4": 'call:{name}{{city:<|"|>{city}<|"|>}}',
    "glm47": "{name}\n" + ARG,
    "json_tools": '{{"name": "{name}", "arguments": {{"city": "{city}"}}}}',
    "kimi_k2": "<|tool_call_begin|>functions.{name}:0<|tool_call_argument_begin|>"
    '{{"city": "{city}"}}<|tool_call_end|>',
    "kimi_k3": f'{OPEN}call tool="{{name}}" index="1"{SEP}{K3_ARGUMENT}{CLOSE}call{SEP}',
    "laguna": "{name}\n" + ARG,
    "longcat": "{name}\n" + ARG.replace("arg_", "longcat_arg_"),
    "minicpm5": '"{name}"><param name="city">{city}</param>',
    "minimax_m2": '<invoke name="{name}"><parameter name="city">{city}</parameter></invoke>',
    "mistral": '{name}[ARGS]{{"city": "{city}"}}',
    "muse_spark": '<atem:invoke name="{name}">'
    '<atem:parameter name="city">{city}</atem:parameter></atem:invoke>',
    "pythonic": '[{name}(city="{city}")]',
    "qwen3_coder": "<function={name}><parameter=city>{city}</parameter></function>",
}
# What would end a string of the format itself.
PLAIN_CITY = {"function_gemma": "a-b (get.it) get.it[ARGS] 1.5"}


def tool_use(**fields: Any) -> ToolUse:
    return ToolUse(tuple(function(name, city="string") for name in NAMES), NAMES, **fields)


def format_of(parser: str) -> ToolCallFormat:
    module = import_module(f"mlx_lm.tool_parsers.{parser}")
    return declared_format(module.tool_call_start, module.tool_call_end, module.parse_tool_call)


def written(parser: str, name: str) -> tuple[str, str]:
    """The call's text and its argument."""
    city = PLAIN_CITY.get(parser, CITY)
    return WRITTEN[parser].format(name=name, city=city), city


def test_all_parsers_are_here() -> None:
    assert {module.name for module in iter_modules(mlx_lm.tool_parsers.__path__)} == WRITTEN.keys()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("parser", WRITTEN)
def test_a_name_is_read_as_it_is(parser: str, name: str) -> None:
    text, city = written(parser, name)
    ((called, arguments),) = parse_calls(text, format_of(parser), tool_use())
    assert (called, json.loads(arguments)) == (name, {"city": city})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("parser", WRITTEN)
def test_a_name_is_read_as_it_comes(load_with: LoadWith, parser: str, name: str) -> None:
    tokenizer, tool_format = load_with(tokens=()), format_of(parser)
    text, city = written(parser, name)
    form = AnswerForm(tool_format=tool_format, tool_use=tool_use())
    token_ids = [i for char in f"{tool_format.begin}{text}{tool_format.end}" for i in tokenizer.encode(char)]
    answer = joined(stream(build_pipeline(tokenizer, form), token_ids))
    ((called, arguments),) = answer.calls
    assert (called, json.loads(arguments), answer.content) == (name, {"city": city}, "")


@pytest.mark.parametrize("name", NAMES)
def test_harmonys_header(load_with: LoadWith, name: str) -> None:
    tokenizer = load_with(HARMONY, special_tokens=HARMONY_TOKENS)
    form = AnswerForm(tool_format=find_tool_call_format(tokenizer), tool_use=tool_use())
    text = f' to=functions.{name}<|channel|>commentary json<|message|>{{"city": "x"}}<|call|>'
    answer = joined(stream(build_pipeline(tokenizer, form), tokenizer.encode(text)))
    assert answer.calls == [(name, '{"city": "x"}')]


@pytest.mark.parametrize("parser", WRITTEN)
@pytest.mark.parametrize("name", ["get.other", "xread", "x-read", "get.itx"])
def test_a_longer_name_is_another_function(parser: str, name: str) -> None:
    assert parse_calls(written(parser, name)[0], format_of(parser), tool_use()) == []


def test_stand_ins_differ_from_all_that_is_written() -> None:
    text = "call:a-b{x:function0x}"
    stand_ins = StandIns(text, ("a-b",), (r"(?<=call:)", r"(?=\{)"))
    assert stand_ins.restore(stand_ins.text) == text
    assert stand_ins.restore({"function0x": ["function0x", 1]}) == {"function0x": ["function0x", 1]}
