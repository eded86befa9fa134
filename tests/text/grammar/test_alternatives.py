from __future__ import annotations

from typing import Any

import pytest

from api.text.grammar.alternatives import find_overlap


def tagged(value: Any, **more: Any) -> dict[str, Any]:
    return {"type": ["object"], "properties": {"kind": {"const": value}, **more}, "required": ["kind"]}


DEFINITIONS: dict[str, Any] = {
    "cat": tagged("cat"),
    "dog": tagged("dog"),
    "loop": {"$ref": "#/$defs/loop"},
}
REF = "#/$defs/"


@pytest.mark.parametrize(
    "options",
    [
        [{"type": ["integer"]}, {"type": ["string", "null"]}],
        [{"const": 1}, {"const": "1"}, {"const": True}, {"const": None}, {"const": 1.5}],
        [{"enum": ["a", "b"]}, {"enum": ["c"]}],
        [tagged("a"), tagged("b"), {"type": ["null"]}],
        [{"$ref": REF + "cat"}, {"$ref": REF + "dog"}],
        [{"anyOf": [{"type": ["null"]}, {"$ref": REF + "cat"}]}, {"$ref": REF + "dog"}],
        [{"allOf": [tagged("a"), {"required": ["x"]}]}, tagged("b")],
        [{"type": ["object"], "required": ["a"]}, {"type": ["object"], "properties": {"a": False}}],
        [tagged("a"), {"type": ["object"], "properties": {"b": {}}, "additionalProperties": False}],
        [False, True],
    ],
)
def test_options_that_exclude_each_other(options: list[Any]) -> None:
    assert find_overlap(options, None, DEFINITIONS) is None


@pytest.mark.parametrize(
    "options",
    [
        [{"type": ["integer"]}, {"type": ["number"]}],
        [{"const": 1}, {"const": 1.0}],
        [{"minimum": 5}, {"maximum": 3}],
        [{"properties": {"a": {"const": 1}}}, {"properties": {"a": {"const": 2}}}],
        [tagged("a"), {"type": ["object"], "properties": {"kind": {"type": ["string"]}}}],
        [tagged("a"), {"type": ["object"], "patternProperties": {"k": {}}, "additionalProperties": False}],
        [{"$ref": REF + "loop"}, {"type": ["null"]}],
        [True, {"type": ["null"]}],
        [{"type": ["null"]}, {"type": ["string"]}, {"type": ["null"]}],
    ],
)
def test_options_that_may_overlap(options: list[Any]) -> None:
    assert "may both hold" in (find_overlap(options, None, DEFINITIONS) or "")


def test_the_type_beside_the_options_counts() -> None:
    options = [tagged("a") | {"type": ["object", "null"]}, tagged("b") | {"type": ["object", "null"]}]
    assert find_overlap(options, None, {})
    assert find_overlap(options, ["object"], {}) is None
