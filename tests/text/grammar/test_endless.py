from __future__ import annotations

from typing import Any

import pytest

from api.text.grammar.endless import find_endless

A, B = {"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}


def node(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": ["object"], "properties": properties, "required": list(required)}


@pytest.mark.parametrize(
    "definition",
    [
        node({"next": A}),
        node({"next": {"anyOf": [A, {"type": ["null"]}]}}, "next"),
        {"type": ["array"], "items": A},
        {"type": ["array", "null"], "items": A, "minItems": 1},
        {"anyOf": [A, {"type": ["string"]}]},
    ],
)
def test_recursion_that_may_end(definition: dict[str, Any]) -> None:
    assert find_endless(A, {"a": definition}) is None


@pytest.mark.parametrize(
    "definition",
    [
        A,
        node({"next": A}, "next"),
        node({}, "next") | {"additionalProperties": A},
        {"type": ["array"], "items": A, "minItems": 1},
        {"type": ["array"], "prefixItems": [True, A], "minItems": 2},
        {"anyOf": [A, node({"x": A}, "x")]},
        {"allOf": [{"type": ["string"]}, A]},
    ],
)
def test_recursion_that_cannot(definition: dict[str, Any]) -> None:
    assert find_endless({"anyOf": [A, {"type": ["null"]}]}, {"a": definition}) == "a"


def test_definitions_that_need_each_other() -> None:
    assert find_endless(A, {"a": node({"b": B}, "b"), "b": node({"a": A}, "a")}) == "a"
    assert find_endless(A, {"a": node({"b": B}, "b"), "b": node({"a": A})}) is None
