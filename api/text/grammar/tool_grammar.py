"""The grammar of an answer that calls functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import dropwhile
from typing import Any, Protocol

from llguidance import LLTokenizer

from api.text.grammar.errors import GrammarError, SchemaError, invalid_request
from api.text.grammar.json_schema import rewrite
from api.text.grammar.vocabulary import lark_string, lark_terms

MAX_PARALLEL_CALLS = 32

Definitions = dict[str, Any]
Check = Callable[[Any], None]  # raises GrammarError for a rewritten schema that does not compile


class CallMarkers(Protocol):
    """The texts around one call; see ``text/tool_calls/formats.py``. Both may be empty."""

    @property
    def begin(self) -> str: ...

    @property
    def end(self) -> str: ...


def call_schema(
    tools: Sequence[Mapping[str, Any]], callable_names: Sequence[str], check: Check, *, is_forced: bool
) -> dict[str, Any]:
    """Returns the schema of one call, ``{"name": ..., "arguments": {...}}``, of any of the functions.

    A function without ``parameters`` takes ``{}``. Where they cannot be enforced, the function is not
    strict and no call is forced, any object will do. Raises InvalidRequestError, which names the tool.
    """
    options: list[dict[str, Any]] = []
    definitions: Definitions = {}
    for index, tool in enumerate(tools):
        function = tool["function"]
        if function["name"] in callable_names:
            arguments, more = _arguments(function, index, check, is_forced)
            options.append(_call(function["name"], arguments))
            definitions |= more
    return {"anyOf": options, "$defs": definitions}


def _call(name: str, arguments: Any) -> dict[str, Any]:
    return {
        "type": ["object"],
        "properties": {"name": {"const": name}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _arguments(
    function: Mapping[str, Any], index: int, check: Check, is_forced: bool
) -> tuple[Any, Definitions]:
    parameters = function.get("parameters")
    if parameters is None:
        return {"type": ["object"], "additionalProperties": False}, {}
    try:
        schema, definitions = rewrite(parameters, definition_prefix=f"t{index}_")
        schema = _object_only(schema)
        check({**schema, "$defs": definitions})
    except (SchemaError, GrammarError) as error:
        if is_forced or function.get("strict"):
            what = f"parameters of function '{function['name']}'"
            raise invalid_request(what, error, f"tools[{index}].function.parameters") from error
        return {"type": ["object"]}, {}
    return schema, definitions


def _object_only(schema: Any) -> dict[str, Any]:
    """Returns the schema narrowed to objects; what it refers to must say so itself."""
    if isinstance(schema, bool):
        schema = {} if schema else {"type": []}
    if "object" not in schema.get("type", ["object"]):
        raise SchemaError("they must describe an object")
    return schema if "$ref" in schema else {**schema, "type": ["object"]}


def forced_calls(
    vocabulary: LLTokenizer, markers: CallMarkers, body: str, *, allows_parallel: bool, other: str = ""
) -> str:
    """Returns a Lark grammar of one call, or of one to many.

    ``body`` is the term for a call's JSON, ``other`` that for an answer without calls, if there may be one.
    """
    is_repeated = allows_parallel and bool(markers.begin or markers.end)
    more = f' ("\\n"? call){{0,{MAX_PARALLEL_CALLS - 1}}}' if is_repeated else ""
    call = [*lark_terms(vocabulary, markers.begin), *_rest_of_call(vocabulary, markers)]
    start = ("start: calls | other", f"other: {other}") if other else ("start: calls",)
    return _grammar(*start, f"calls: call{more}", f"call: {' '.join(call)}", f"body: {body}")


def free_calls(vocabulary: LLTokenizer, markers: CallMarkers, body: str, *, allows_parallel: bool) -> str:
    """Returns a Lark grammar of free text in which whatever begins as a call goes on as one."""
    rest = " ".join(_rest_of_call(vocabulary, markers))
    begin = lark_terms(vocabulary, markers.begin)
    if not begin:  # a call is an answer's first text, and begins as JSON does
        return _grammar("start: call | OTHER_TEXT?", f"call: {rest}", f"body: {body}", _OTHER_TEXT)
    # The text ends where the marker first appears: spelled out, or as a special token, which is no text.
    head = f"head[lazy]: TEXT {lark_string(markers.begin)}"
    special = " ".join(dropwhile(lambda term: not term.startswith("<"), begin))
    call = f"call: (head | TEXT? {special}) {rest}" if special else f"call: head {rest}"
    start = "start: call* tail" if allows_parallel else "start: call | tail"
    return _grammar(start, "tail: TEXT", head, call, f"body: {body}", _TEXT)


_TEXT = "TEXT: /(?s:.*)/"
_OTHER_TEXT = r"OTHER_TEXT: /\s*[^\s{\[](?s:.*)/"


def _rest_of_call(vocabulary: LLTokenizer, markers: CallMarkers) -> list[str]:
    """Models are taught to set the JSON between markers on a line of its own, or not to."""
    line_end = '"\\n"?'
    before = [line_end] if markers.begin else []
    after = [line_end, *lark_terms(vocabulary, markers.end)] if markers.end else []
    return [*before, "body", *after]


def _grammar(*rules: str) -> str:
    return "\n".join(rule for rule in rules if rule)
