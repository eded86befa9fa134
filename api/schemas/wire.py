"""What all wire shapes share: strictness, and unions that are told apart by the JSON type.

Strict: a boolean is no integer and a string is no number. ``null`` for an optional field means
absent. Fields that nobody knows are kept, so that they can be logged.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field
from pydantic_core import PydanticCustomError

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
INT32_MAX = 2**31 - 1

# Tags appear in pydantic's error locations; the brackets let ``validation.py`` drop them again.
STRING_TAG, LIST_TAG, OBJECT_TAG, BOOLEAN_TAG = "<string>", "<list>", "<object>", "<boolean>"
_JSON_TAGS: dict[type, str] = {str: STRING_TAG, list: LIST_TAG, dict: OBJECT_TAG, bool: BOOLEAN_TAG}


class WireModel(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


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
