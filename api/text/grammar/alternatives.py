"""Tells whether the options of a ``oneOf`` exclude each other, so that any of them will do.

llguidance's own check looks behind no reference: it refuses every tagged union as pydantic writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

from api.text.grammar.errors import SchemaError

Schema = dict[str, Any] | bool
Definitions = dict[str, Schema]

_KINDS = frozenset({"null", "boolean", "integer", "fraction", "string", "array", "object"})
_KINDS_OF_TYPE = {"number": frozenset({"integer", "fraction"})}
_MAX_DEPTH = 8
_MAX_OPTIONS = 100
MAX_COMPARISONS = 100_000  # of schemas, for all the ``oneOf`` of a document


class Comparisons:
    """Counts what one document's options cost: schemas that share references can ask for billions."""

    def __init__(self, limit: int = MAX_COMPARISONS) -> None:
        self._limit = limit
        self._num_done = 0

    def count(self, number: int = 1) -> None:
        """Raises SchemaError at the limit."""
        self._num_done += number
        if self._num_done > self._limit:
            raise SchemaError(f"its 'oneOf' take more than {self._limit} comparisons")


def find_overlap(
    options: Sequence[Schema], types: list[str] | None, definitions: Definitions, comparisons: Comparisons
) -> str | None:
    """Returns which options may hold for one value, as a text; None when no two can.

    Raises SchemaError where that takes too many comparisons.
    """
    if len(options) > _MAX_OPTIONS:
        return f"there are more than {_MAX_OPTIONS}"
    checker = _Checker(definitions, comparisons)
    kinds = _KINDS if types is None else _kinds_of_types(types)
    for (first, a), (second, b) in combinations(enumerate(options), 2):
        if not checker.exclude(a, b, kinds, 0):
            return f"{first} and {second} may both hold"
    return None


def _kinds_of_types(types: list[str]) -> frozenset[str]:
    return frozenset().union(*(_KINDS_OF_TYPE.get(each, frozenset({each})) for each in types))


def _kind_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "fraction"
        case str():
            return "string"
    return "array" if isinstance(value, list) else "object"


class _Checker:
    """Answers are safe: where it cannot tell, schemas may overlap."""

    def __init__(self, definitions: Definitions, comparisons: Comparisons) -> None:
        self._definitions = definitions
        self._comparisons = comparisons

    def exclude(self, a: Schema, b: Schema, kinds: frozenset[str], depth: int) -> bool:
        """Tells whether no value of these kinds fits both."""
        self._comparisons.count()
        if depth > _MAX_DEPTH:
            return False
        shared = kinds & self._kinds(a, depth) & self._kinds(b, depth)
        if not shared:
            return True
        parts_a, parts_b = self._parts(a, depth), self._parts(b, depth)
        self._comparisons.count(len(parts_a) * len(parts_b))
        pairs = list(product(parts_a, parts_b))
        if any(self._exclude_literals(x, y) for x, y in pairs):
            return True
        if shared == {"object"} and any(self._exclude_objects(x, y, depth) for x, y in pairs):
            return True
        sides = ((parts_a, b), (parts_b, a))
        return any(self._options_exclude(parts, other, kinds, depth) for parts, other in sides)

    def _parts(self, schema: Schema, depth: int) -> list[dict[str, Any]]:
        """All that holds at once: the schema, what it refers to, and what it combines."""
        self._comparisons.count()
        if isinstance(schema, bool) or depth > _MAX_DEPTH:
            return []
        parts = [schema]
        for part in schema.get("allOf", ()):
            parts += self._parts(part, depth + 1)
        if "$ref" in schema:
            parts += self._parts(self._target(schema), depth + 1)
        return parts

    def _target(self, schema: dict[str, Any]) -> Schema:
        return self._definitions[schema["$ref"].rsplit("/", 1)[-1]]

    def _kinds(self, schema: Schema, depth: int) -> frozenset[str]:
        self._comparisons.count()
        if isinstance(schema, bool):
            return _KINDS if schema else frozenset()
        kinds = _KINDS
        for part in self._parts(schema, depth):
            if "type" in part:
                kinds &= _kinds_of_types(part["type"])
            if (literals := _literals(part)) is not None:
                kinds &= frozenset(map(_kind_of, literals))
            if "anyOf" in part and depth < _MAX_DEPTH:
                kinds &= frozenset().union(*(self._kinds(option, depth + 1) for option in part["anyOf"]))
        return kinds

    def _exclude_literals(self, a: dict[str, Any], b: dict[str, Any]) -> bool:
        ours, theirs = _literals(a), _literals(b)
        if ours is None or theirs is None:
            return False
        if _scalars(ours) & _scalars(theirs):
            return False
        ours, theirs = _containers(ours), _containers(theirs)
        self._comparisons.count(len(ours) * len(theirs))
        return not any(x == y for x, y in product(ours, theirs))

    def _exclude_objects(self, a: dict[str, Any], b: dict[str, Any], depth: int) -> bool:
        names = {*a.get("required", ()), *b.get("required", ())}
        return any(self.exclude(_property(a, name), _property(b, name), _KINDS, depth + 1) for name in names)

    def _options_exclude(
        self, parts: list[dict[str, Any]], other: Schema, kinds: frozenset[str], depth: int
    ) -> bool:
        choices = [part["anyOf"] for part in parts if "anyOf" in part]
        return any(
            all(self.exclude(option, other, kinds, depth + 1) for option in options) for options in choices
        )


def _literals(schema: dict[str, Any]) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _scalars(literals: list[Any]) -> set[tuple[str, Any]]:
    """With their kinds: to Python ``True`` is 1."""
    return {(_kind_of(each), each) for each in literals if not isinstance(each, (list, dict))}


def _containers(literals: list[Any]) -> list[Any]:
    return [each for each in literals if isinstance(each, (list, dict))]


def _property(schema: dict[str, Any], name: str) -> Schema:
    """What the schema says of a property; patterns are left out of account, unless they could admit it."""
    found: Schema | None = schema.get("properties", {}).get(name)
    if found is not None:
        return found
    return True if "patternProperties" in schema else schema.get("additionalProperties", True)
