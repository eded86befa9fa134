from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from api.errors import InvalidRequestError
from api.text.grammar.compiled_grammar import CompiledGrammar
from api.text.grammar.compiler import GrammarCompiler
from api.text.grammar.tool_grammar import MAX_PARALLEL_CALLS
from api.types import Structure, ToolUse
from benchmarks.json_schemas import Sampler


@dataclass(frozen=True)
class Markers:
    begin: str
    end: str


TEXT = Markers("<tool_call>", "</tool_call>")
SPECIAL = Markers("<|user|>", "<|system|>")
UNCLOSED = Markers("[TOOL_CALLS]", "")
BARE = Markers("", "")


def function(name: str, parameters: Any = None, *, strict: bool | None = None) -> dict[str, Any]:
    described = {"name": name} | ({} if parameters is None else {"parameters": parameters})
    return {"type": "function", "function": described | ({} if strict is None else {"strict": strict})}


CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = function("get_weather", CITY, strict=True)
NOW = function("now")
TAGS = {"type": "object", "properties": {"tags": {"type": "array", "uniqueItems": True}}}
TREE = {
    "$ref": "#/$defs/n",
    "$defs": {
        "n": {"type": "object", "properties": {"left": {"$ref": "#/$defs/n"}}, "additionalProperties": False}
    },
}
TOOLS = (WEATHER, NOW, function("tag", TAGS), function("walk", TREE, strict=True))
NAMES = tuple(tool["function"]["name"] for tool in TOOLS)
ENFORCEABLE = ("get_weather", "now", "walk")

Mode = Literal["none", "auto", "required"]
Takes = Callable[[str], bool]
Open = Callable[..., Takes]


def call(name: str, arguments: Any, markers: Markers = TEXT, line_end: str = "") -> str:
    body = json.dumps({"name": name, "arguments": arguments})
    return f"{markers.begin}{line_end}{body}{line_end if markers.end else ''}{markers.end}"


ROME = call("get_weather", {"city": "Rome"})


@pytest.fixture
def open_grammar(compiler: GrammarCompiler) -> Open:
    """Returns what the grammar of some calls takes; special tokens are read as such."""

    def open_it(
        mode: Mode, markers: Markers = TEXT, *, parallel: bool = True, names: tuple[str, ...] | None = None
    ) -> Takes:
        names = names or (ENFORCEABLE if mode == "required" else NAMES)
        grammar = compiler.compile_tool_calls(ToolUse(TOOLS, names, mode, parallel), markers)
        assert grammar is not None
        return lambda text: takes(compiler, grammar, text)

    return open_it


def takes(compiler: GrammarCompiler, grammar: CompiledGrammar, text: str) -> bool:
    matcher = grammar.new_matcher()
    tokens = compiler.vocabulary.tokenize_str(text, parse_special=True)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.mark.parametrize("markers", [TEXT, SPECIAL, UNCLOSED, BARE])
def test_a_forced_call(open_grammar: Open, markers: Markers) -> None:
    accepts = open_grammar("required", markers)
    assert accepts(call("get_weather", {"city": "Rome"}, markers))
    assert accepts(call("now", {}, markers))
    assert accepts(call("walk", {"left": {"left": {}}}, markers))
    assert not accepts("")
    assert not accepts("Hello")
    assert not accepts("Hello " + call("now", {}, markers))
    assert not accepts(call("get_weather", {"town": "Rome"}, markers))
    assert not accepts(call("walk", {"left": 1}, markers))
    assert not accepts(call("other", {}, markers))


def test_line_ends_within_the_markers(open_grammar: Open) -> None:
    accepts = open_grammar("required")
    assert accepts(call("now", {}, line_end="\n"))
    assert not accepts(call("now", {}, line_end="\n\n"))


def test_no_parameters_mean_no_arguments(open_grammar: Open) -> None:
    assert not open_grammar("required")(call("now", {"zone": "UTC"}))


def test_only_the_allowed_functions(open_grammar: Open) -> None:
    accepts = open_grammar("required", names=("now",))
    assert accepts(call("now", {}))
    assert not accepts(ROME)


@pytest.mark.parametrize("markers", [TEXT, SPECIAL, UNCLOSED])
def test_several_calls_where_they_are_allowed(open_grammar: Open, markers: Markers) -> None:
    one, two = call("get_weather", {"city": "Rome"}, markers), call("now", {}, markers)
    several = open_grammar("required", markers)
    assert several(one + two)
    assert several("\n".join([one] * MAX_PARALLEL_CALLS))
    assert not several(one * (MAX_PARALLEL_CALLS + 1))
    assert not open_grammar("required", markers, parallel=False)(one + two)


@pytest.mark.parametrize("markers", [TEXT, SPECIAL])
def test_free_text_in_which_calls_are_strict(open_grammar: Open, markers: Markers) -> None:
    accepts = open_grammar("auto", markers)
    good, bad = call("get_weather", {"city": "Rome"}, markers), call("get_weather", {"town": "Rome"}, markers)
    for text in ("", "Hello { <tool", good, f"Let me see. {good}", f"{good}\n{good}", f"a {good} b {good} c"):
        assert accepts(text), text
    for text in (bad, f"Let me see. {bad}", f"{good} {bad}", f"a {markers.begin} b", markers.begin):
        assert not accepts(text), text


@pytest.mark.parametrize("markers", [TEXT, SPECIAL])
def test_free_text_with_one_call_at_most(open_grammar: Open, markers: Markers) -> None:
    accepts = open_grammar("auto", markers, parallel=False)
    good = call("now", {}, markers)
    assert accepts("Hello")
    assert accepts(f"Hello {good}")
    assert not accepts(f"{good} {good}")


def test_a_special_token_spelled_out_begins_a_call_as_well(
    compiler: GrammarCompiler, open_grammar: Open
) -> None:
    grammar = compiler.compile_tool_calls(ToolUse(TOOLS, NAMES, "auto"), SPECIAL)
    assert grammar is not None
    matcher = grammar.new_matcher()
    tokens = compiler.vocabulary.tokenize_str(f"a {SPECIAL.begin} b", parse_special=False)
    assert matcher.try_consume_tokens(tokens) < len(tokens)


def test_a_call_without_markers_is_the_first_text(open_grammar: Open) -> None:
    accepts = open_grammar("auto", BARE)
    assert accepts("Hello {")
    assert accepts("")
    assert accepts(call("now", {}, BARE))
    assert not accepts(' {"name": "other"}')
    assert not accepts("[1]")


@pytest.mark.parametrize("markers", [TEXT, SPECIAL, UNCLOSED, BARE])
def test_an_answer_that_calls_or_has_a_structure(compiler: GrammarCompiler, markers: Markers) -> None:
    tool_use = ToolUse(TOOLS, ("get_weather",), "auto")
    grammar = compiler.compile_calls_or(Structure("json_schema", CITY), tool_use, markers)
    rome = call("get_weather", {"city": "Rome"}, markers)
    assert takes(compiler, grammar, rome)
    assert takes(compiler, grammar, '{"city": "Rome"}')
    for text in ("", "Hello", '{"town": "Rome"}', call("now", {}, markers), rome + '{"city": "Rome"}'):
        assert not takes(compiler, grammar, text), text


def test_either_form_that_cannot_be_enforced_is_named(compiler: GrammarCompiler) -> None:
    tool_use = ToolUse(TOOLS, NAMES, "auto")
    with pytest.raises(InvalidRequestError) as caught:
        compiler.compile_calls_or(Structure("json_schema", {"not": {"type": "null"}}), tool_use, TEXT)
    assert caught.value.param == "response_format.json_schema.schema"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (TAGS, "uniqueItems"),
        ({"type": "array"}, "describe an object"),
        (False, "describe an object"),
        ({"type": 1}, "unknown"),
    ],
)
def test_what_a_strict_function_asks_for_in_vain_is_an_error(
    compiler: GrammarCompiler, parameters: Any, message: str
) -> None:
    tools = (NOW, function("f", parameters, strict=True))
    with pytest.raises(InvalidRequestError, match=f"function 'f'.*{message}") as caught:
        compiler.compile_tool_calls(ToolUse(tools, ("f",), "required"), TEXT)
    assert caught.value.param == "tools[1].function.parameters"


def test_what_a_forced_call_asks_for_in_vain_is_an_error(compiler: GrammarCompiler) -> None:
    with pytest.raises(InvalidRequestError, match=r"function 'tag'.*uniqueItems"):
        compiler.compile_tool_calls(ToolUse(TOOLS, ("now", "tag"), "required"), TEXT)


def test_what_a_free_call_asks_for_in_vain_is_any_object(open_grammar: Open) -> None:
    accepts = open_grammar("auto")
    assert accepts(call("tag", {"tags": [1, 1]}))
    assert not accepts(call("tag", [1]))


@pytest.mark.parametrize("parameters", [True, {}, {"description": "free"}])
def test_parameters_without_a_type_are_objects_still(compiler: GrammarCompiler, parameters: Any) -> None:
    grammar = compiler.compile_tool_calls(ToolUse((function("f", parameters),), ("f",), "required"), TEXT)
    assert grammar is not None
    assert takes(compiler, grammar, call("f", {"x": 1}))
    assert not takes(compiler, grammar, call("f", 1))


def test_calls_that_are_drawn_are_calls(compiler: GrammarCompiler, sampler: Sampler) -> None:
    grammar = compiler.compile_tool_calls(ToolUse(TOOLS, ENFORCEABLE, "required"), TEXT)
    assert grammar is not None
    for _ in range(10):
        text, is_ended = sampler.draw(grammar.new_matcher())
        if is_ended:
            first = json.loads(text.removeprefix(TEXT.begin).split(TEXT.end)[0])
            assert first.keys() == {"name", "arguments"}
            assert first["name"] in NAMES
