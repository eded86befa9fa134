from __future__ import annotations

import re
from typing import Any

import pytest

from api.text.grammar.errors import SchemaError
from api.text.grammar.json_schema import MAX_DEPTH, MAX_NODES, rewrite

REFUSED: dict[str, dict[str, Any]] = {
    "not": {"not": {"type": "string"}},
    "if": {"if": {"type": "string"}, "then": {"minLength": 1}},
    "contains": {"contains": {"type": "integer"}},
    "uniqueItems": {"type": "array", "uniqueItems": True},
    "dependencies": {"dependencies": {"a": ["b"]}},
    "dependentRequired": {"dependentRequired": {"a": ["b"]}},
    "dependentSchemas": {"dependentSchemas": {"a": {"required": ["b"]}}},
    "unevaluatedProperties": {"allOf": [{}], "unevaluatedProperties": False},
    "unevaluatedItems": {"anyOf": [{}], "unevaluatedItems": False},
    "$dynamicRef": {"$dynamicRef": "#node"},
    "$recursiveRef": {"$recursiveRef": "#"},
    "divisibleBy": {"divisibleBy": 2},
    "disallow": {"disallow": "string"},
    "extends": {"extends": {"type": "string"}},
}


@pytest.mark.parametrize("keyword", REFUSED)
def test_what_cannot_be_enforced_is_refused_by_name_and_place(keyword: str) -> None:
    schema = {"type": "object", "properties": {"items": {"type": "array", "items": REFUSED[keyword]}}}
    with pytest.raises(
        SchemaError, match=rf"'{re.escape(keyword)}' is not supported \(at #/properties/items/items\)"
    ):
        rewrite(schema)


@pytest.mark.parametrize("keyword", REFUSED)
def test_a_property_may_have_any_name(keyword: str) -> None:
    schema, _ = rewrite({"type": "object", "properties": {keyword: {"type": "string"}}})
    assert isinstance(schema, dict)
    assert schema["properties"] == {keyword: {"type": ["string"]}}


def test_a_definition_that_nobody_names_does_no_harm() -> None:
    assert rewrite({"type": "integer", "$defs": {"x": {"not": {"type": "null"}}}}) == (
        {"type": ["integer"]},
        {},
    )


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("text", "object or a boolean"),
        ({"properties": []}, "object of schemas"),
        ({"properties": {"a": 1}}, "object or a boolean .at #/properties/a"),
        ({"anyOf": {}}, "list of schemas"),
        ({"type": "any"}, "'type' 'any' is unknown"),
        ({"type": []}, "must name a type"),
        ({"required": True}, "list of names"),
        ({"minLength": -1}, "non-negative"),
        ({"maxItems": True}, "non-negative"),
        ({"minimum": "1"}, "must be a number"),
        ({"minimum": 2**60}, "beyond exact"),
        ({"multipleOf": 0}, "greater than 0"),
        ({"multipleOf": 123_457}, "too many digits"),
        ({"enum": []}, "list of values"),
        ({"const": 2**60}, "beyond exact"),
        ({"const": {"a": ["\x00"]}}, "control characters"),
        ({"pattern": 5}, "must be a string"),
        ({"pattern": "(?=a)"}, "look-around"),
        ({"patternProperties": {"(?=a)": {}}}, "look-around"),
        ({"type": "string", "format": "regex"}, "'format' 'regex'"),
        ({"minProperties": 2}, "'minProperties' beyond"),
        ({"propertyNames": {"maxLength": 3}}, "'propertyNames'"),
        ({"properties": {"a": {}}, "propertyNames": {"pattern": "a"}}, "'propertyNames' beside"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "0 and 1 may both hold"),
        ({"$ref": 5}, "must be a string"),
        ({"$ref": "#/$defs/x"}, "points to nothing"),
        ({"$ref": "#x"}, "unknown anchor"),
        ({"$ref": "https://example.org/x.json"}, "not within the schema"),
        ({"items": {"$id": "x", "$ref": "#"}}, "beside '.ref'"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "never end .at #"),
    ],
)
def test_malformed_and_impossible_schemas_say_why(schema: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        rewrite(schema)


def test_the_size_is_bounded() -> None:
    with pytest.raises(SchemaError, match=f"more than {MAX_NODES}"):
        rewrite({"prefixItems": [{}] * (MAX_NODES + 1)})
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH + 1):
        deep = {"items": deep}
    with pytest.raises(SchemaError, match=f"deeper than {MAX_DEPTH}"):
        rewrite(deep)


def test_what_is_not_understood_never_reaches_the_grammar() -> None:
    schema = {"type": "integer", "x-guidance": {"lenient": True}, "title": "T", "frobnicate": 1, "id": "x"}
    assert rewrite(schema) == ({"type": ["integer"]}, {})


def test_references_become_definitions_of_their_own() -> None:
    person = {"type": "object", "properties": {"boss": {"$ref": "#/definitions/Person"}}}
    schema, definitions = rewrite(
        {"items": {"$ref": "#/definitions/Person"}, "definitions": {"Person": person}},
        definition_prefix="t3_",
    )
    reference = {"$ref": "#/$defs/t3_0"}
    assert schema == {"type": ["array"], "items": reference}
    assert definitions == {
        "t3_0": {"type": ["object"], "properties": {"boss": reference}, "additionalProperties": False}
    }


def test_not_anything_is_nothing() -> None:
    schema, _ = rewrite({"type": "object", "properties": {"a": {"not": {}}}})
    assert isinstance(schema, dict)
    assert schema["properties"] == {"a": False}


def test_only_whole_values_are_narrowed_to_the_type_of_their_keywords() -> None:
    schema, _ = rewrite({"anyOf": [{"required": ["a"]}], "items": {"properties": {"b": {}}}})
    assert isinstance(schema, dict)
    assert schema["anyOf"] == [{"required": ["a"]}]
    assert schema["items"] == {"type": ["object"], "properties": {"b": {}}, "additionalProperties": False}


def test_the_older_form_of_tuples_keeps_its_rest() -> None:
    schema, _ = rewrite({"items": [{"type": "null"}], "additionalItems": False})
    assert schema == {"type": ["array"], "prefixItems": [{"type": ["null"]}], "items": False}
