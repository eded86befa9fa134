"""Fields that go by several names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from api.errors import InvalidRequestError

Value = TypeVar("Value", str, int, float)


def one_of_names(values: Mapping[str, Value | None]) -> Value | None:
    """The value of a field that goes by several names; raises InvalidRequestError where they disagree."""
    given = {name: value for name, value in values.items() if value is not None}
    if len(set(given.values())) > 1:
        first, second, *_ = given
        raise InvalidRequestError(f"'{second}' contradicts '{first}'.", param=second)
    return next(iter(given.values()), None)
