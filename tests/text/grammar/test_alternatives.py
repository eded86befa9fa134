from __future__ import annotations

from typing import Any

import pytest

from api.text.grammar.alternatives import Comparisons, find_overlap
from api.text.grammar.errors import SchemaError


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
    assert find_overlap(options, None, DEFINITIONS, Comparisons()) is None


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
    assert "may both hold" in (find_overlap(options, None, DEFINITIONS, Comparisons()) or "")


def test_the_type_beside_the_options_counts() -> None:
    options = [tagged("a") | {"type": ["object", "null"]}, tagged("b") | {"type": ["object", "null"]}]
    assert find_overlap(options, None, {}, Comparisons())
    assert find_overlap(options, ["object"], {}, Comparisons()) is None


def test_large_enums_are_told_apart() -> None:
    options = [{"enum": [f"{side}{n}" for n in range(5000)]} for side in "ab"]
    assert find_overlap(options, None, {}, Comparisons()) is None


def mesh(depth: int, width: int) -> dict[str, Any]:
    """Definitions each of which refers to all of the next layer, so that there are width**depth paths."""
    layers = {
        f"l{layer}_{n}": {"anyOf": [{"$ref": f"#/$defs/l{layer + 1}_{m}"} for m in range(width)]}
        for layer in range(depth)
        for n in range(width)
    }
    return layers | {f"l{depth}_{n}": {"type": ["integer"]} for n in range(width)}


def test_a_mesh_of_references_is_given_up_at_the_limit() -> None:
    options = [{"$ref": "#/$defs/l0_0"}, {"$ref": "#/$defs/l0_1"}]
    with pytest.raises(SchemaError, match="more than 5000 comparisons"):
        find_overlap(options, None, mesh(7, 7), Comparisons(limit=5000))
