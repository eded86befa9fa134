"""Checks of a parsed body: pydantic's findings as one error that names the field, names that disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.errors import InvalidRequestError

Model = TypeVar("Model", bound=BaseModel)
Value = TypeVar("Value", str, int, float)

_JSON_TYPE_NAMES = {
    "NoneType": "null",
    "bool": "a boolean",
    "dict": "an object",
    "float": "a number",
    "int": "an integer",
    "list": "an array",
    "str": "a string",
}

_PHRASES = {
    "bool_type": "must be a boolean",
    "dict_type": "must be an object",
    "float_type": "must be a number",
    "int_type": "must be an integer",
    "list_type": "must be an array",
    "model_type": "must be an object",
    "string_type": "must be a string",
}

_CODES = {"unsupported_value": "unsupported_value"}


def validate_body(model: type[Model], data: object) -> Model:
    """Returns the typed body; raises InvalidRequestError for the first field that is wrong."""
    if not isinstance(data, dict):
        raise InvalidRequestError("The request body must be a JSON object.", code="invalid_type")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise _to_request_error(first) from None


def _to_request_error(details: ErrorDetails) -> InvalidRequestError:
    param = format_location(details["loc"])
    if details["type"] == "missing":
        message = f"Missing required parameter: '{param}'."
        return InvalidRequestError(message, param=param, code="missing_required_parameter")
    is_type_error = details["type"].endswith("_type")
    text = _describe(details)
    if is_type_error:
        text = f"{text}, not {_type_name(details['input'])}"
    code = "invalid_type" if is_type_error else _CODES.get(details["type"], "invalid_value")
    return InvalidRequestError(f"Invalid '{param}': {text}.", param=param, code=code)


def _describe(details: ErrorDetails) -> str:
    text = _PHRASES.get(details["type"]) or details["msg"]
    for prefix in ("Input should", "List should", "String should"):
        text = text.replace(prefix, "must", 1)
    return text.replace(" after validation", "")


def _type_name(value: Any) -> str:
    name = type(value).__name__
    return _JSON_TYPE_NAMES.get(name, name)


def format_location(location: tuple[int | str, ...]) -> str:
    """``("messages", 0, "content", "<list>", 1, "type")`` is ``messages[0].content[1].type``."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith("<") and step != "[key]":
            path += f".{step}" if path else step
    return path


def unknown_fields(body: BaseModel, path: str = "") -> Iterator[str]:
    """The names that no model knows, as ``tempratur`` or ``messages[].content[].colour``."""
    for name in body.model_extra or ():
        yield path + name
    for name, value in vars(body).items():
        if isinstance(value, BaseModel):
            yield from unknown_fields(value, f"{path}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
            yield from (found for each in value for found in unknown_fields(each, f"{path}{name}[]."))


def one_of_names(values: Mapping[str, Value | None]) -> Value | None:
    """The value of a field that goes by several names; raises InvalidRequestError where they disagree."""
    given = {name: value for name, value in values.items() if value is not None}
    if len(set(given.values())) > 1:
        first, second, *_ = given
        raise InvalidRequestError(f"'{second}' contradicts '{first}'.", param=second)
    return next(iter(given.values()), None)
