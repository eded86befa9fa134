"""The form that an answer must have, from whichever of the fields asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from api.errors import InvalidRequestError
from api.http.compatibility.field import refuse_fields
from api.http.compatibility.objects import OBJECTS
from api.http.fields.structure_shapes import (
    GrammarObject,
    JsonSchemaFormat,
    ResponseFormat,
    StructuredOutputs,
    StructureFields,
)
from api.types import Structure

_FORMAT_PARAM = "response_format"
# The fields by which each type says what it wants, the usual one first; others contradict it.
_FORMAT_SOURCES = {
    "text": (),
    "json_object": ("schema", "json_schema"),
    "json_schema": ("json_schema", "schema"),
    "json": ("value", "schema"),
    "regex": ("value", "pattern"),
    "grammar": ("grammar", "value"),
}


def to_structure(body: StructureFields) -> Structure | None:
    """Returns None where any text will do; raises InvalidRequestError for two forms at once."""
    wanted = list(_wanted(body))
    if len(wanted) > 1:
        first, second = wanted[0].param, wanted[1].param
        raise InvalidRequestError(f"'{second}' cannot be combined with '{first}'.", param=second)
    return wanted[0] if wanted else None


def _wanted(body: StructureFields) -> Iterator[Structure]:
    of_format = None if body.response_format is None else _of_response_format(body.response_format)
    if of_format is not None:
        yield of_format
    for param in ("structured_outputs", "guided_decoding"):
        outputs: StructuredOutputs | None = getattr(body, param)
        if outputs is not None:
            yield _of_structured_outputs(outputs, param)
    yield from _of_guided(body)
    yield from _of_plain_names(body)


def _of_response_format(wanted: ResponseFormat) -> Structure | None:
    """None for plain text. Raises InvalidRequestError for fields that do not go together."""
    source = _format_source(wanted)
    if wanted.type == "text":
        return None
    if source is None:
        if wanted.type == "json_object":
            return Structure("json_object")
        param = f"{_FORMAT_PARAM}.{_FORMAT_SOURCES[wanted.type][0]}"
        message = f"Missing required parameter: '{param}'."
        raise InvalidRequestError(message, param=param, code="missing_required_parameter")
    name, value = source
    if isinstance(value, JsonSchemaFormat):
        is_any = value.schema_ is None
        return Structure("json_object") if is_any else Structure("json_schema", value.schema_)
    if wanted.type in ("regex", "grammar"):
        return _of_expression(wanted.type, value, f"{_FORMAT_PARAM}.{name}")
    return _of_json_schema(value, f"{_FORMAT_PARAM}.{name}")


def _format_source(wanted: ResponseFormat) -> tuple[str, Any] | None:
    """The field that says what is wanted, and its value."""
    fields = {
        "json_schema": wanted.json_schema,
        "schema": wanted.schema_,
        "value": wanted.value,
        "grammar": wanted.grammar,
        "pattern": wanted.pattern,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    for name in given:
        if name not in _FORMAT_SOURCES[wanted.type]:
            param = f"{_FORMAT_PARAM}.{name}"
            message = f"'{param}' cannot be combined with the type '{wanted.type}'."
            raise InvalidRequestError(message, param=param)
    if len(given) > 1:
        first, second, *_ = given
        param = f"{_FORMAT_PARAM}.{second}"
        raise InvalidRequestError(
            f"'{param}' cannot be combined with '{_FORMAT_PARAM}.{first}'.", param=param
        )
    return next(iter(given.items()), None)


def _of_guided(body: StructureFields) -> Iterator[Structure]:
    if body.guided_json is not None:
        yield _of_json_schema(body.guided_json, "guided_json")
    if body.guided_json_object:
        yield Structure("json_object", param="guided_json_object")
    if body.guided_regex is not None:
        yield Structure("regex", body.guided_regex, "guided_regex")
    if body.guided_choice is not None:
        yield Structure("choice", tuple(body.guided_choice), "guided_choice")
    if body.guided_grammar is not None:
        yield Structure("lark", body.guided_grammar, "guided_grammar")


def _of_plain_names(body: StructureFields) -> Iterator[Structure]:
    """The names of llama.cpp, SGLang, TGI and Ollama, whose clients send empty strings for none."""
    if body.json_schema not in (None, ""):
        yield _of_json_schema(body.json_schema, "json_schema")
    if body.regex is not None:
        yield Structure("regex", body.regex, "regex")
    if isinstance(body.grammar, GrammarObject):
        yield _of_grammar_object(body.grammar)
    elif body.grammar:
        yield Structure("lark", body.grammar, "grammar")
    if body.ebnf is not None:
        yield Structure("lark", body.ebnf, "ebnf")
    if body.format == "json":
        yield Structure("json_object", param="format")
    elif body.format not in (None, ""):
        yield _of_json_schema(body.format, "format")


def _of_grammar_object(grammar: GrammarObject) -> Structure:
    if grammar.type == "json":
        return _of_json_schema(grammar.value, "grammar.value")
    return _of_expression("regex", grammar.value, "grammar.value")


def _of_structured_outputs(wanted: StructuredOutputs, param: str) -> Structure:
    refuse_fields(wanted, OBJECTS["structured outputs"], f"{param}.")
    found: list[Structure] = []
    if wanted.json_ is not None:
        found.append(_of_json_schema(wanted.json_, f"{param}.json"))
    if wanted.regex is not None:
        found.append(Structure("regex", wanted.regex, f"{param}.regex"))
    if wanted.choice is not None:
        found.append(Structure("choice", tuple(wanted.choice), f"{param}.choice"))
    if wanted.grammar is not None:
        found.append(Structure("lark", wanted.grammar, f"{param}.grammar"))
    if wanted.json_object:
        found.append(Structure("json_object", param=f"{param}.json_object"))
    if len(found) != 1:
        message = f"'{param}' needs exactly one of 'json', 'regex', 'choice', 'grammar' and 'json_object'."
        raise InvalidRequestError(message, param=param)
    return found[0]


def _of_json_schema(schema: object, param: str) -> Structure:
    """``schema`` may be JSON in a string. Raises InvalidRequestError where it is none."""
    if isinstance(schema, str):
        schema = _parse_schema(schema, param)
    return Structure("json_schema", schema, param)


def _of_expression(kind: str, expression: object, param: str) -> Structure:
    """A regular expression or a grammar. Raises InvalidRequestError where it is no text."""
    if not isinstance(expression, str) or not expression:
        raise InvalidRequestError(f"Invalid '{param}': must be a string.", param=param)
    return Structure("regex" if kind == "regex" else "lark", expression, param)


def _parse_schema(text: str, param: str) -> object:
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"Invalid '{param}': it is not JSON: {error}.", param=param) from None
    if not isinstance(schema, dict | bool):
        raise InvalidRequestError(f"Invalid '{param}': it is no JSON schema.", param=param)
    return schema
