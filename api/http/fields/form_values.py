"""Schemas and expressions as clients send them: as JSON values, or as texts."""

from __future__ import annotations

import orjson

from api.errors import InvalidRequestError
from api.types import Structure


def of_json_schema(schema: object, param: str) -> Structure:
    """``schema`` may be JSON in a string. Raises InvalidRequestError where it is none."""
    if isinstance(schema, str):
        schema = _parse_schema(schema, param)
    return Structure("json_schema", schema, param)


def of_expression(kind: str, expression: object, param: str) -> Structure:
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
