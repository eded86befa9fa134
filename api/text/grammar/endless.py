"""Finds references that no finite value satisfies: llguidance compiles them, and an answer never ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any] | bool
Definitions = dict[str, Schema]


def find_endless(schema: Schema, definitions: Definitions) -> str | None:
    """Returns the name of a definition that can never end, or None.

    A definition ends when some value of it needs only definitions that end: the least fixed point. Each is
    looked at again only when one that it refers to was found to end.
    """
    users = _users(definitions)
    finite: set[str] = set()
    pending = list(reversed(definitions))  # what others refer to mostly stands behind them
    while pending:
        name = pending.pop()
        if name not in finite and _ends(definitions[name], finite):
            finite.add(name)
            pending += users.get(name, ())
    return min(definitions.keys() - finite, default=None)


def _users(definitions: Definitions) -> dict[str, list[str]]:
    """Returns, for each definition, those that refer to it."""
    users: dict[str, list[str]] = {}
    for name, schema in definitions.items():
        for target in set(_references(schema)):
            users.setdefault(target, []).append(name)
    return users


def _references(schema: Any) -> Iterator[str]:
    """Yields the names of all definitions that a schema refers to, at any depth."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield _target(schema)
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _target(schema: dict[str, Any]) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[-1]


def _ends(schema: Schema, finite: set[str]) -> bool:
    """Tells whether a value may end; True where only a constraint other than a reference forbids it."""
    if isinstance(schema, bool):
        return True
    if "$ref" in schema and _target(schema) not in finite:
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
