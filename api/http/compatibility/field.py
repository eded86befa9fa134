"""What a row of the tables says, and how refused fields are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from api.errors import UnsupportedFieldError

AUTOMATIC = "the prefix cache is automatic: prompts that begin alike share it, as long as memory lasts"


class Support(StrEnum):
    HONOURED = "honoured"
    REFUSED = "refused"
    NO_EFFECT = "no effect"


@dataclass(frozen=True, slots=True)
class Field:
    """``neutral`` are the values of a refused field that mean the same as leaving it out.

    ``matters`` tells whether a refused field would change anything in this request; None: it would.
    """

    name: str
    support: Support
    note: str = ""
    neutral: tuple[Any, ...] = ()
    matters: Callable[[BaseModel], bool] | None = None

    def when(self, matters: Callable[[BaseModel], bool]) -> Field:
        """The same row, refused in such requests only."""
        return replace(self, matters=matters)


def honoured(name: str, note: str = "") -> Field:
    return Field(name, Support.HONOURED, note)


def refused(name: str, note: str, *neutral: Any) -> Field:
    return Field(name, Support.REFUSED, note, neutral)


def no_effect(name: str, note: str) -> Field:
    return Field(name, Support.NO_EFFECT, note)


def refuse_fields(body: BaseModel, fields: Iterable[Field], path: str = "") -> None:
    """Raises UnsupportedFieldError for the first refused field that asks for something.

    Finds fields that no model declares, too: those of other servers' have no type here.
    """
    for field in fields:
        if field.support is not Support.REFUSED:
            continue
        value = _value_of(body, field.name)
        if value is None or value in field.neutral:
            continue
        if field.matters is None or field.matters(body):
            name = path + field.name
            raise UnsupportedFieldError(
                f"'{name}' is not supported by this server: {field.note}.", param=name
            )


def _value_of(body: BaseModel, name: str) -> Any:
    """Of a declared field or another; no attribute of the model's class is mistaken for one."""
    return vars(body).get(name, (body.model_extra or {}).get(name))
