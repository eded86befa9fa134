"""Schemas as people write them, each with an answer that fits and one that does not."""

from __future__ import annotations

from typing import Any

INT, STR, NULL = {"type": "integer"}, {"type": "string"}, {"type": "null"}
_PERSON = {
    "type": "object",
    "properties": {"name": STR, "age": INT},
    "required": ["name"],
    "additionalProperties": False,
}
_TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": INT,
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["value"],
            "additionalProperties": False,
        }
    },
}
_PETS = {
    "type": "object",
    "properties": {
        "pet": {
            "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
            "discriminator": {"propertyName": "kind"},
        }
    },
    "required": ["pet"],
    "$defs": {
        "Cat": {
            "type": "object",
            "properties": {"kind": {"const": "cat"}, "lives": INT},
            "required": ["kind"],
        },
        "Dog": {
            "type": "object",
            "properties": {"kind": {"const": "dog"}, "barks": {"type": "boolean"}},
            "required": ["kind"],
        },
    },
}


def _object(properties: dict[str, Any] | None = None, *required: str, **more: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"} | more
    schema |= {} if properties is None else {"properties": properties}
    return schema | ({"required": list(required)} if required else {})


def _array(**more: Any) -> dict[str, Any]:
    return {"type": "array"} | more


# (name, schema, an answer that fits, an answer that does not)
SCHEMAS: list[tuple[str, Any, str, str]] = [
    ("anything", {}, '[1, {"a": null}]', "[1,"),
    ("true", True, '"text"', "text"),
    ("null", NULL, "null", "0"),
    ("boolean", {"type": "boolean"}, "true", "True"),
    ("integer", INT, "-12", "1.5"),
    ("number", {"type": "number"}, "1.5e3", "01"),
    ("string", STR, '"a\\n\\"b\\" \u00e9"', '"a'),
    ("array", {"type": "array"}, '[1, "a"]', "{}"),
    ("object", {"type": "object"}, '{"a": [], "b": {}}', "[]"),
    ("nullable", {"type": ["string", "null"]}, "null", "1"),
    ("two types", {"type": ["integer", "boolean"]}, "false", '"false"'),
    ("integer among numbers", {"type": ["integer", "number"]}, "0.5", "null"),
    ("minimum", {"type": "integer", "minimum": 10}, "10", "9"),
    ("maximum", {"type": "number", "maximum": 1.5}, "1.5", "1.51"),
    ("exclusive minimum", {"type": "number", "exclusiveMinimum": 0}, "0.1", "0"),
    ("exclusive maximum", {"type": "integer", "exclusiveMaximum": 5}, "4", "5"),
    ("both minimums", {"type": "integer", "minimum": 3, "exclusiveMinimum": 4}, "5", "4"),
    ("draft 4 minimum", {"type": "integer", "minimum": 3, "exclusiveMinimum": True}, "4", "3"),
    ("draft 4 maximum", {"type": "integer", "maximum": 3, "exclusiveMaximum": True}, "2", "3"),
    ("draft 4 not exclusive", {"type": "integer", "minimum": 3, "exclusiveMinimum": False}, "3", "2"),
    ("negative range", {"type": "number", "minimum": -2.5, "maximum": -1}, "-2.5", "-2.6"),
    (
        "64-bit bounds",
        {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
        "7",
        "99999999999999999999",
    ),
    ("unsigned", {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}, "0", "-1"),
    ("multiple", {"type": "integer", "multipleOf": 7}, "21", "22"),
    ("cents", {"type": "number", "multipleOf": 0.01}, "1.25", "1.255"),
    ("multiple in range", {"type": "integer", "multipleOf": 5, "minimum": 11, "maximum": 29}, "25", "10"),
    ("minLength", {"type": "string", "minLength": 2}, '"\\n\u00e9"', '"a"'),
    ("maxLength", {"type": "string", "maxLength": 2}, '"\U0001f600b"', '"abc"'),
    ("both lengths", {"type": "string", "minLength": 3, "maxLength": 3}, '"abc"', '"abcd"'),
    ("pattern", {"type": "string", "pattern": "^[a-z]{2}-\\d+$"}, '"ab-12"', '"ab-"'),
    ("pattern within", {"type": "string", "pattern": "b"}, '"abc"', '"ac"'),
    ("pattern and length", {"type": "string", "pattern": "^a*$", "maxLength": 3}, '"aaa"', '"aaaa"'),
    ("date", {"type": "string", "format": "date"}, '"2024-02-29"', '"2023-02-29"'),
    ("date-time", {"type": "string", "format": "date-time"}, '"2024-05-01T10:00:00Z"', '"2024-05-01"'),
    ("uuid", {"type": "string", "format": "uuid"}, '"123e4567-e89b-12d3-a456-426614174000"', '"123e4567"'),
    ("email", {"type": "string", "format": "email"}, '"ann@example.org"', '"ann"'),
    ("unknown format", {"type": "string", "format": "colour"}, '"red"', "1"),
    ("format of numbers", {"type": "integer", "format": "int32"}, "3", '"3"'),
    (
        "format and pattern",
        {"type": "string", "format": "date", "pattern": "^2024"},
        '"2024-01-01"',
        '"2023-01-01"',
    ),
    ("enum", {"enum": ["red", 1, None, 2.5, True]}, "2.5", "2"),
    ("enum of strings", {"type": "string", "enum": ["a", "b"]}, '"b"', '"c"'),
    ("enum of objects", {"enum": [{"a": 1}, [1, "x"]]}, '[1,"x"]', "[1]"),
    ("enum with null", {"type": ["string", "null"], "enum": ["a", None]}, "null", '"null"'),
    ("const", {"const": {"a": [1, None]}}, '{"a": [1, null]}', '{"a": [1]}'),
    ("const null", {"const": None}, "null", "0"),
    ("items", _array(items=INT), "[1,2, 3]", '["a"]'),
    ("minItems", _array(items=INT, minItems=2), "[1,2]", "[1]"),
    ("maxItems", _array(items=INT, maxItems=2), "[]", "[1,2,3]"),
    ("prefixItems", _array(prefixItems=[INT, STR], items=False), '[1,"a"]', '["a",1]'),
    ("array of items", _array(items=[INT], additionalItems=STR), '[1,"a"]', "[1,2]"),
    ("additionalItems alone", _array(prefixItems=[INT], additionalItems=False), '[1,"a"]', '["a"]'),
    ("one unique item", _array(uniqueItems=True, maxItems=1), "[1]", "[1,1]"),
    ("a set", _array(items={"enum": ["x", "y", "z"]}, uniqueItems=True), '["z","x"]', '["x","x"]'),
    ("an empty set", _array(items={"enum": ["x", "y"]}, uniqueItems=True), "[]", '["x","y","x"]'),
    (
        "a bounded set",
        _array(items={"enum": [1, 2, 3]}, uniqueItems=True, minItems=2, maxItems=2),
        "[3,1]",
        "[1]",
    ),
    ("a set of booleans", _array(items={"type": "boolean"}, uniqueItems=True), "[true,false]", "[true,true]"),
    (
        "a set of an enum elsewhere, or null",
        {
            "type": ["array", "null"],
            "items": {"$ref": "#/$defs/Colour"},
            "uniqueItems": True,
            "$defs": {"Colour": {"title": "Colour", "type": "string", "enum": ["red", "blue", 3]}},
        },
        "null",
        '["red",3]',
    ),
    (
        "a large set keeps its order",
        _array(items={"enum": list("abcdefgh")}, uniqueItems=True),
        '["a","c","h"]',
        '["a","a"]',
    ),
    ("a decimal", {"type": "string", "pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"}, '"-12.50"', '"-."'),
    (
        "a decimal of some places",
        {"type": "string", "pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d{0,2}0*$"},
        '"3.14"',
        '"3.141"',
    ),
    (
        "a decimal of some digits and places",
        {
            "type": "string",
            "pattern": r"^(?!^[-+.]*$)[+-]?0*(?:\d{0,3}|(?=[\d.]{1,6}0*$)\d{0,3}\.\d{0,2}0*$)",
        },
        '"123.45"',
        '"1234"',
    ),
    (
        "a decimal of some digits",
        {"type": "string", "pattern": r"^(?!^[-+.]*$)[+-]?0*(?:\d{0,5}|(?=[\d.]{1,6}0*$)\d*\.\d*0*$)"},
        '"12.345"',
        '"123.4567"',
    ),
    ("not unique", _array(uniqueItems=False), "[1,1]", "1"),
    ("unevaluated items", _array(prefixItems=[INT], unevaluatedItems=False), "[1]", "[1,2]"),
    ("person", _PERSON, '{"name": "Ann", "age": 3}', '{"age": 3}'),
    ("optional left out", _PERSON, '{"name":"Ann"}', '{"name":"Ann","x":1}'),
    ("no type", {"properties": {"a": INT}, "required": ["a"]}, '{"a":1}', "1"),
    ("more properties", _object({"a": INT}, additionalProperties=STR), '{"a":1,"b":"x"}', '{"a":1,"b":2}'),
    ("map", _object(additionalProperties={"type": "number"}), '{"x": 1.5}', '{"x": "y"}'),
    (
        "patterned keys",
        _object(patternProperties={"^n_": INT}, additionalProperties=False),
        '{"n_a": 1}',
        '{"m": 1}',
    ),
    ("required elsewhere", _object(None, "a"), '{"a": 1}', "{}"),
    ("at least one", _object(minProperties=1), '{"a": 1}', "{}"),
    ("at most one", _object(maxProperties=1), "{}", '{"a":1,"b":2}'),
    ("closed by unevaluated", _object({"a": {}}, unevaluatedProperties=False), '{"a":1}', '{"b":1}'),
    ("names, any", _object(propertyNames=STR, additionalProperties=INT), '{"a":1}', '{"a":"b"}'),
    (
        "names of an enum",
        _object(propertyNames={"enum": ["a", "b"]}, additionalProperties=INT),
        '{"b":1}',
        '{"c":1}',
    ),
    ("names by pattern", _object(propertyNames={"pattern": "^[a-z]$"}), '{"c":1}', '{"C":1}'),
    ("forbidden property", _object({"a": False}), '{"b":1}', '{"a":1}'),
    ("anyOf", {"anyOf": [INT, NULL]}, "null", '"a"'),
    ("optional of a model", {"anyOf": [_PERSON, NULL], "default": None}, '{"name":"A"}', "{}"),
    ("anyOf beside properties", _object({"a": INT}, anyOf=[{"required": ["a"]}]), '{"a":1}', "{}"),
    ("oneOf of types", {"oneOf": [INT, STR]}, '"a"', "null"),
    ("oneOf of literals", {"oneOf": [{"const": "a"}, {"enum": ["b", "c"]}]}, '"c"', '"d"'),
    ("discriminated union", _PETS, '{"pet": {"kind": "dog", "barks": true}}', '{"pet": {"kind": "cow"}}'),
    (
        "exactly one property",
        _object({"a": INT, "b": INT}, oneOf=[{"required": ["a"]}, {"required": ["b"]}]),
        '{"b":1}',
        '{"a":1,"b":1}',
    ),
    ("allOf", {"allOf": [INT, {"minimum": 5}, {"maximum": 7}]}, "6", "8"),
    (
        "allOf of objects",
        {"allOf": [_PERSON | {"additionalProperties": True}, {"required": ["age"]}]},
        '{"name":"A","age":1}',
        '{"name":"A"}',
    ),
    ("two patterns", {"type": "string", "allOf": [{"pattern": "^a"}, {"pattern": "b$"}]}, '"ab"', '"a"'),
    ("definitions", {"$ref": "#/definitions/P", "definitions": {"P": _PERSON}}, '{"name":"A"}', "{}"),
    ("tree", _TREE, '{"value":1,"children":[{"value":2}]}', '{"value":1,"children":[{}]}'),
    (
        "reference to the root",
        _object({"next": {"$ref": "#"}}, additionalProperties=False),
        '{"next":{"next":{}}}',
        '{"next":1}',
    ),
    (
        "reference with siblings",
        {
            "type": "object",
            "properties": {"p": {"description": "who", "$ref": "#/$defs/P"}},
            "$defs": {"P": {"enum": [1]}},
        },
        '{"p":1}',
        '{"p":2}',
    ),
    (
        "reference by anchor",
        {"$ref": "#it", "$defs": {"x": {"$anchor": "it", "type": "integer"}}},
        "1",
        '"a"',
    ),
    (
        "reference by id",
        {
            "$id": "http://example.org/s.json",
            "$ref": "t.json",
            "$defs": {"t": {"$id": "t.json", "type": "integer"}},
        },
        "1",
        '"a"',
    ),
    ("escaped pointer", {"$ref": "#/$defs/a~1b%25~0", "$defs": {"a/b%~": INT}}, "1", "null"),
    (
        "annotated",
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$id": "x",
            "title": "T",
            "description": "d",
            "default": 1,
            "examples": [2],
            "$comment": "c",
            "deprecated": True,
            "readOnly": True,
            "writeOnly": False,
            "x-order": 1,
            "example": 3,
            "nullable": True,
            "type": "integer",
        },
        "1",
        "null",
    ),
    ("property called $ref", _object({"$ref": STR, "not": NULL}, "not"), '{"$ref":"a","not":null}', "{}"),
    (
        "odd names",
        _object({'a"\\\u00e9\n': INT}, additionalProperties=False),
        '{"a\\"\\\\\u00e9\\n": 1}',
        '{"a": 1}',
    ),
    ("idle if", {"if": STR, "type": "integer"}, "1", '"a"'),
]
