"""Finds references that no finite value satisfies."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any] | bool
Definitions = dict[str, Schema]


def find_endless(schema: Schema, definitions: Definitions) -> str | None:
    """Returns the name of a definition that can never end, or None.

    A definition ends when some value of it needs only definitions that end: the least fixed point.
    """
    finite: set[str] = set()
    is_growing = True
    while is_growing:
        found = {name for name in definitions.keys() - finite if _ends(definitions[name], finite)}
        finite |= found
        is_growing = bool(found)
    endless = definitions.keys() - finite
    return min(endless, default=None)


def _ends(schema: Schema, finite: set[str]) -> bool:
    """Tells whether a value may end; True where only a constraint other than a reference forbids it."""
    if isinstance(schema, bool):
        return True
    if "$ref" in schema and schema["$ref"].rsplit("/", 1)[-1] not in finite:
        return False
    if not all(_ends(part, finite) for part in schema.get("allOf", ())):
        return False
    if "anyOf" in schema and not any(_ends(option, finite) for option in schema["anyOf"]):
        return False
    types = schema.get("type")
    return types is None or any(_ends_as(each, schema, finite) for each in types)


def _ends_as(type_name: str, schema: dict[str, Any], finite: set[str]) -> bool:
    if type_name == "object":
        rest = schema.get("additionalProperties", True)
        properties = schema.get("properties", {})
        return all(_ends(properties.get(name, rest), finite) for name in schema.get("required", ()))
    if type_name == "array":
        num_items = schema.get("minItems", 0)
        prefix = schema.get("prefixItems", [])
        needed = prefix[:num_items] + ([schema.get("items", True)] if num_items > len(prefix) else [])
        return all(_ends(item, finite) for item in needed)
    return True
