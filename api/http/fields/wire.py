"""What all wire shapes share: strictness, and unions that are told apart by the JSON type.

Strict: a boolean is no integer and a string is no number. ``null`` for an optional field means
absent. Fields that nobody knows are kept, so that they can be logged.
"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import CoreSchema, PydanticCustomError

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
INT32_MAX = 2**31 - 1
_PORTION = 1000  # entries of an object that are checked at once

# Tags appear in pydantic's error locations; the brackets let ``validation.py`` drop them again.
STRING_TAG, LIST_TAG, OBJECT_TAG, BOOLEAN_TAG = "<string>", "<list>", "<object>", "<boolean>"
_JSON_TAGS: dict[type, str] = {str: STRING_TAG, list: LIST_TAG, dict: OBJECT_TAG, bool: BOOLEAN_TAG}


def _fail_fast(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("type") == "list":
            schema["fail_fast"] = True
        schema = list(schema.values())
    if isinstance(schema, list | tuple):
        for inner in schema:
            _fail_fast(inner)


class WireModel(BaseModel):
    """Lists are checked up to their first fault: a million of them would take many seconds to report."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _fail_fast(schema)
        return schema


def _in_portions(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    if not isinstance(value, dict) or len(value) <= _PORTION:
        return check(value)
    checked: dict[Any, Any] = {}
    items = iter(value.items())
    while portion := dict(islice(items, _PORTION)):
        checked |= check(portion)
    return checked


# For objects of any size: as for lists, no more than a portion's faults are reported.
InPortions = WrapValidator(_in_portions)


def json_tag(value: object) -> str | None:
    return _JSON_TAGS.get(type(value))


def by_json_type(expected: str) -> Discriminator:
    """Tells the members of a union apart; ``expected`` names them in the message of a refusal."""
    return Discriminator(
        json_tag,
        custom_error_type="union_type",
        custom_error_message=f"Input should be {expected}",
    )


def unsupported(values: tuple[str, ...], why: str) -> BeforeValidator:
    """Refuses values that OpenAI knows and this server does not, with the reason instead of a list."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value in values:
            raise PydanticCustomError(
                "unsupported_value", "{value} is not supported: {why}", {"value": repr(value), "why": why}
            )
        return value

    return BeforeValidator(check)


TokenId = Annotated[int, Field(ge=0, le=INT32_MAX)]
