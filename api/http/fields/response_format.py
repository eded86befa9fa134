"""``response_format``: OpenAI's forms, and those that local servers have added to it."""

from __future__ import annotations

from typing import Any

from api.errors import InvalidRequestError
from api.http.fields.form_values import of_expression, of_json_schema
from api.http.fields.structure_shapes import JsonSchemaFormat, ResponseFormat
from api.types import Structure

_PARAM = "response_format"
# The fields by which each type says what it wants, the usual one first; others contradict it.
_SOURCES = {
    "text": (),
    "json_object": ("schema", "json_schema"),
    "json_schema": ("json_schema", "schema"),
    "json": ("value", "schema"),
    "regex": ("value", "pattern"),
    "grammar": ("grammar", "value"),
}


def of_response_format(wanted: ResponseFormat) -> Structure | None:
    """None for plain text. Raises InvalidRequestError for fields that do not go together."""
    source = _source(wanted)
    if wanted.type == "text":
        return None
    if source is None:
        if wanted.type == "json_object":
            return Structure("json_object")
        param = f"{_PARAM}.{_SOURCES[wanted.type][0]}"
        message = f"Missing required parameter: '{param}'."
        raise InvalidRequestError(message, param=param, code="missing_required_parameter")
    name, value = source
    if isinstance(value, JsonSchemaFormat):
        is_any = value.schema_ is None
        return Structure("json_object") if is_any else Structure("json_schema", value.schema_)
    if wanted.type in ("regex", "grammar"):
        return of_expression(wanted.type, value, f"{_PARAM}.{name}")
    return of_json_schema(value, f"{_PARAM}.{name}")


def _source(wanted: ResponseFormat) -> tuple[str, Any] | None:
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
        if name not in _SOURCES[wanted.type]:
            param = f"{_PARAM}.{name}"
            message = f"'{param}' cannot be combined with the type '{wanted.type}'."
            raise InvalidRequestError(message, param=param)
    if len(given) > 1:
        first, second, *_ = given
        param = f"{_PARAM}.{second}"
        raise InvalidRequestError(f"'{param}' cannot be combined with '{_PARAM}.{first}'.", param=param)
    return next(iter(given.items()), None)
