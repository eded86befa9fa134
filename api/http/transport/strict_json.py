"""Parses JSON strictly, and no more of it than a server can bear."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson

from api.errors import InvalidRequestError
from api.http.transport.json_structure import JsonLimits, JsonStructure, structure_of

_MAX_DEPTH = 256  # of arrays and objects: whoever walks through them later may do so by recursion


def parse_json(text: bytes, limits: JsonLimits) -> Any:
    """Strict JSON: UTF-8, no NaN, no lone surrogates, bounded depth, no key twice in an object.

    Raises InvalidRequestError, also where the text is made of more things than ``limits`` allow.
    """
    if not text or text.isspace():
        raise _malformed("it is empty")
    structure = structure_of(text)
    limits.check(structure)
    try:
        data = orjson.loads(text)
        if _num_keys(data, structure) < structure.num_keys:
            _refuse_duplicate_keys(text)
    except orjson.JSONDecodeError as error:
        raise _malformed(str(error)) from None
    return data


def _num_keys(data: Any, structure: JsonStructure) -> int:
    """How many keys the parser has kept; raises InvalidRequestError for values nested too deeply.

    Level by level, and no further than it takes to be sure of both.
    """
    num_keys = depth = 0
    level = [data]
    while level and (num_keys < structure.num_keys or structure.num_containers > _MAX_DEPTH):
        depth += 1
        if depth > _MAX_DEPTH:
            raise _malformed(f"it is nested more than {_MAX_DEPTH} levels deep")
        num_keys += sum(len(each) for each in level if isinstance(each, dict))
        level = [inner for each in level for inner in _values_of(each) if isinstance(inner, dict | list)]
    return num_keys


def _values_of(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_duplicate_keys(text: bytes) -> None:
    # Which of two values wins differs between parsers, so a proxy may have checked the other one.
    # Numbers are not converted in this pass: Python refuses integers of thousands of digits.
    json.loads(text, object_pairs_hook=_without_duplicates, parse_int=len, parse_float=len)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) == len(pairs):
        return
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _malformed(f"the key {key[:64]!r} occurs twice in one object")
        seen.add(key)


def _malformed(reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"The request body is not valid JSON: {reason}.", code="invalid_json")
