"""The form that an answer must have, from whichever of the fields asks for it."""

from __future__ import annotations

from collections.abc import Iterator

from api.errors import InvalidRequestError
from api.http.compatibility.field import refuse_fields
from api.http.compatibility.objects import OBJECTS
from api.http.fields.form_values import of_expression, of_json_schema
from api.http.fields.response_format import of_response_format
from api.http.fields.structure_shapes import GrammarObject, StructuredOutputs, StructureFields
from api.types import Structure


def to_structure(body: StructureFields) -> Structure | None:
    """Returns None where any text will do; raises InvalidRequestError for two forms at once."""
    wanted = list(_wanted(body))
    if len(wanted) > 1:
        first, second = wanted[0].param, wanted[1].param
        raise InvalidRequestError(f"'{second}' cannot be combined with '{first}'.", param=second)
    return wanted[0] if wanted else None


def _wanted(body: StructureFields) -> Iterator[Structure]:
    of_format = None if body.response_format is None else of_response_format(body.response_format)
    if of_format is not None:
        yield of_format
    for param in ("structured_outputs", "guided_decoding"):
        outputs: StructuredOutputs | None = getattr(body, param)
        if outputs is not None:
            yield _of_structured_outputs(outputs, param)
    yield from _of_guided(body)
    yield from _of_plain_names(body)


def _of_guided(body: StructureFields) -> Iterator[Structure]:
    if body.guided_json is not None:
        yield of_json_schema(body.guided_json, "guided_json")
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
        yield of_json_schema(body.json_schema, "json_schema")
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
        yield of_json_schema(body.format, "format")


def _of_grammar_object(grammar: GrammarObject) -> Structure:
    if grammar.type == "json":
        return of_json_schema(grammar.value, "grammar.value")
    return of_expression("regex", grammar.value, "grammar.value")


def _of_structured_outputs(wanted: StructuredOutputs, param: str) -> Structure:
    refuse_fields(wanted, OBJECTS["structured outputs"], f"{param}.")
    found: list[Structure] = []
    if wanted.json_ is not None:
        found.append(of_json_schema(wanted.json_, f"{param}.json"))
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
