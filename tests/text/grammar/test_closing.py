from __future__ import annotations

from typing import Any

import pytest

from api.text.grammar.closing import close_objects

A = {"properties": {"a": {"type": ["null"]}}}
CLOSED_A = {**A, "additionalProperties": False}
REF = {"$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "closed"),
    [
        (A, CLOSED_A),
        ({"properties": {}}, {"properties": {}, "additionalProperties": False}),
        ({"properties": {"b": A}}, {"properties": {"b": CLOSED_A}, "additionalProperties": False}),
        ({"items": A, "prefixItems": [A]}, {"items": CLOSED_A, "prefixItems": [CLOSED_A]}),
        ({"additionalProperties": A}, {"additionalProperties": CLOSED_A}),
        ({"anyOf": [A, {"type": ["null"]}]}, {"anyOf": [CLOSED_A, {"type": ["null"]}]}),
    ],
)
def test_objects_that_name_their_properties_are_closed(schema: Any, closed: Any) -> None:
    before = repr(schema)
    assert close_objects(schema, {}) == (closed, {})
    assert repr(schema) == before


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {"type": ["object"]},
        {**A, "additionalProperties": True},
        {**A, "patternProperties": {"x": True}},
        {**A, "required": ["b"]},
        {**A, "minProperties": 1},
        {"properties": {"a": False}},
        {"allOf": [A, A]},
        {**A, "anyOf": [{"required": ["a"]}]},
        {**A, "anyOf": [A]},
        {"anyOf": [{"allOf": [A]}]},
    ],
)
def test_others_stay_as_they_are(schema: Any) -> None:
    assert close_objects(schema, {}) == (schema, {})


def test_a_definition_is_closed_unless_it_is_combined_anywhere() -> None:
    assert close_objects({"items": REF}, {"d0": A}) == ({"items": REF}, {"d0": CLOSED_A})
    assert close_objects({"anyOf": [REF, {"type": ["null"]}]}, {"d0": A})[1] == {"d0": CLOSED_A}
    for combined in ({"allOf": [REF, A]}, {**REF, **A}, {"items": REF, "prefixItems": [{"allOf": [REF]}]}):
        assert close_objects(combined, {"d0": A})[1] == {"d0": A}
