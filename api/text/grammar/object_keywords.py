"""The keywords of objects that need more than a copy."""

from __future__ import annotations

from typing import Any

from api.text.grammar.errors import SchemaError
from api.text.grammar.value_keywords import read_count, read_pattern

Schema = dict[str, Any] | bool


def read_required(node: dict[str, Any], path: str) -> dict[str, Any]:
    """Returns the names, each once. (As a boolean beside a property it is draft 3's; refused.)"""
    if "required" not in node:
        return {}
    names = node["required"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SchemaError("'required' must be a list of names", path)
    return {"required": list(dict.fromkeys(names))}


def read_num_properties(node: dict[str, Any], num_required: int, path: str) -> dict[str, Any]:
    """Returns the bounds on the number of properties, where a grammar can hold them.

    A repeated key counts once in the parsed object, but twice in the grammar: no more than one beyond
    the required ones can be promised.
    """
    counts = {
        keyword: count
        for keyword in ("minProperties", "maxProperties")
        if (count := read_count(node, keyword, path)) is not None
    }
    if counts.get("minProperties", 0) > num_required + 1:
        raise SchemaError("'minProperties' beyond the required properties is not supported", path)
    return counts


def restrict_names(schema: dict[str, Any], names: Schema, path: str) -> dict[str, Any]:
    """Returns the object schema with ``propertyNames`` (rewritten) worked into its other keywords."""
    if names is True or (isinstance(names, dict) and names.keys() <= {"type"} and _may_be_string(names)):
        return schema
    if not isinstance(names, dict) or not _may_be_string(names):
        return {**schema, "maxProperties": 0}
    if schema.keys() & {"properties", "patternProperties"}:
        raise SchemaError("'propertyNames' beside other properties is not supported", path)
    value = schema.get("additionalProperties", True)
    literals = names.get("enum", [names["const"]] if "const" in names else None)
    if literals is not None and names.keys() <= {"type", "enum", "const"}:
        properties = {name: value for name in literals if isinstance(name, str)}
        return {**schema, "properties": properties, "additionalProperties": False}
    if names.keys() <= {"type", "pattern"}:
        return {**schema, "patternProperties": {names["pattern"]: value}, "additionalProperties": False}
    raise SchemaError("'propertyNames' with these keywords is not supported", path)


def _may_be_string(names: dict[str, Any]) -> bool:
    return "string" in names.get("type", ["string"])


def translate_names(pattern_properties: dict[str, Schema], path: str) -> dict[str, Schema]:
    """Returns them by expressions in llguidance's dialect."""
    return {read_pattern(pattern, path): schema for pattern, schema in pattern_properties.items()}


def exclude_required(options: list[Schema]) -> list[Schema]:
    """Returns the options of a ``oneOf`` that only require names, each forbidding what the others require.

    That is how "exactly one of these properties" is usually written; other options are left alone.
    """
    if not all(isinstance(option, dict) and option.keys() == {"required"} for option in options):
        return options
    names = [option["required"] for option in options if isinstance(option, dict)]
    return [_require_only(own, [each for each in names if each is not own]) for own in names]


def _require_only(own: list[str], others: list[list[str]]) -> Schema:
    foreign = [[name for name in other if name not in own] for other in others]
    if not all(foreign):  # whoever has these properties fits another option as well
        return False
    forbidden: dict[str, Schema] = {name: False for names in foreign for name in names}
    return {"type": ["object"], "properties": forbidden, "required": own}
