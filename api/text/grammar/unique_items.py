"""Arrays without duplicates: no grammar can remember what was written, but few values can be spelled out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations, permutations
from math import comb, perm
from typing import Any

from api.text.grammar.errors import SchemaError

Schema = dict[str, Any] | bool

MAX_ARRANGEMENTS = 400


def spell_out(array: dict[str, Any], values: list[Any], path: str) -> list[Schema]:
    """Returns all arrays of distinct ``values`` that the bounds of ``array`` allow, as options.

    Where these are too many, those in the order of ``values`` only, which are as good to whoever asks for a
    set. Raises SchemaError where these are too many as well.
    """
    lengths = range(array.get("minItems", 0), min(array.get("maxItems", len(values)), len(values)) + 1)
    for count, arrange in ((perm, permutations), (comb, combinations)):
        if sum(count(len(values), length) for length in lengths) <= MAX_ARRANGEMENTS:
            return _options(arrange, values, lengths)
    raise SchemaError("'uniqueItems' over so many values is not supported", path)


def _options(
    arrange: Callable[[list[Any], int], Iterable[tuple[Any, ...]]], values: list[Any], lengths: range
) -> list[Schema]:
    return [_exactly(items) for length in lengths for items in arrange(values, length)]


def _exactly(items: tuple[Any, ...]) -> Schema:
    if not items:
        return {"type": ["array"], "maxItems": 0}
    return {
        "type": ["array"],
        "prefixItems": [{"const": item} for item in items],
        "items": False,
        "minItems": len(items),
        "maxItems": len(items),
    }


def distinct_values(items: Any) -> list[Any] | None:
    """Returns the few values that a schema of items allows; None where it says more, or allows others."""
    if not isinstance(items, dict) or not items.keys() <= _PLAIN:
        return None
    if items.keys() & {"const", "enum"}:
        found = [items["const"]] if "const" in items else items["enum"]
        return _without_duplicates(found, _types(items)) if isinstance(found, list) else None
    return [False, True] if items.get("type") == "boolean" else None


_PLAIN = frozenset({"type", "const", "enum", "title", "description", "default", "examples", "$comment"})


def _types(items: dict[str, Any]) -> list[Any] | None:
    types = items.get("type")
    return types if types is None or isinstance(types, list) else [types]


def _without_duplicates(values: list[Any], types: list[Any] | None) -> list[Any] | None:
    """To JSON 1 and 1.0 are the same, to Python 1 and True as well; lists and objects are left alone."""
    kept: dict[tuple[bool, Any], Any] = {}
    for value in values:
        if isinstance(value, (list, dict)):
            return None
        if types is None or not _TYPES[type(value)].isdisjoint(types):
            kept.setdefault((isinstance(value, bool), value), value)
    return list(kept.values())


_TYPES: dict[type, frozenset[str]] = {
    bool: frozenset({"boolean"}),
    int: frozenset({"integer", "number"}),
    float: frozenset({"number"}),
    str: frozenset({"string"}),
    type(None): frozenset({"null"}),
}
