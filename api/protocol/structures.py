"""The form that an answer must have, from whichever of the fields asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from api.errors import InvalidRequestError
from api.schemas.structures import ResponseFormat, StructuredOutputs, StructureFields
from api.types import Structure


def to_structure(body: StructureFields) -> Structure | None:
    """Returns None where any text will do; raises InvalidRequestError for two forms at once."""
    wanted = list(_wanted(body))
    if len(wanted) > 1:
        first, second = wanted[0].param, wanted[1].param
        raise InvalidRequestError(f"'{second}' cannot be combined with '{first}'.", param=second)
    return wanted[0] if wanted else None


def _wanted(body: StructureFields) -> Iterator[Structure]:
    if body.response_format is not None and body.response_format.type != "text":
        yield _of_response_format(body.response_format)
    if body.structured_outputs is not None:
        yield _of_structured_outputs(body.structured_outputs)
    if body.guided_json is not None:
        yield _of_json_schema(body.guided_json, "guided_json")
    if body.guided_regex is not None:
        yield Structure("regex", body.guided_regex, "guided_regex")
    if body.guided_choice is not None:
        yield Structure("choice", tuple(body.guided_choice), "guided_choice")
    if body.guided_grammar is not None:
        yield Structure("lark", body.guided_grammar, "guided_grammar")


def _of_response_format(wanted: ResponseFormat) -> Structure:
    if wanted.type == "json_object":
        return Structure("json_object")
    if wanted.json_schema is None:
        param = "response_format.json_schema"
        message = f"Missing required parameter: '{param}'."
        raise InvalidRequestError(message, param=param, code="missing_required_parameter")
    if wanted.json_schema.schema_ is None:
        return Structure("json_object")
    return Structure("json_schema", wanted.json_schema.schema_)


def _of_structured_outputs(wanted: StructuredOutputs) -> Structure:
    param = "structured_outputs"
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
    if isinstance(schema, str):
        schema = _parse_schema(schema, param)
    return Structure("json_schema", schema, param)


def _parse_schema(text: str, param: str) -> object:
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"Invalid '{param}': it is not JSON: {error}.", param=param) from None
    if not isinstance(schema, dict | bool):
        raise InvalidRequestError(f"Invalid '{param}': it is no JSON schema.", param=param)
    return schema
