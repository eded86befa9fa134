"""Closes objects that name their properties and leave the rest open.

``{"properties": {"city": ...}}`` allows any further property, which nobody who writes it hopes for, and a
small model goes on inventing some until its limit. What the closed schema allows, the open one does too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any] | bool

_PARTS_OF_OBJECTS = frozenset({"properties", "required", "patternProperties", "additionalProperties"})
# Beside these an object's own keywords are not all that is said about it, or more properties are expected.
_SAYS_MORE = frozenset(
    {"$ref", "additionalProperties", "allOf", "anyOf", "const", "enum", "minProperties", "patternProperties"}
)


def close_objects(schema: Schema, definitions: dict[str, Any]) -> tuple[Schema, dict[str, Any]]:
    """Returns rewritten schemas with ``additionalProperties: false`` where that can only narrow them.

    A schema that is combined with another one stays open, and so does a definition that is.
    """
    roots = [schema, *definitions.values()]
    combined = {name for root in roots for name in _combined_references(root, is_whole=True)}
    closed = {name: _close(node, is_whole=name not in combined) for name, node in definitions.items()}
    return _close(schema, is_whole=True), closed


def _combined_references(node: Schema, is_whole: bool) -> Iterator[str]:
    if isinstance(node, bool):
        return
    if "$ref" in node and not (is_whole and node.keys() <= {"$ref", "type"}):
        yield node["$ref"].rpartition("/")[2]
    for _, child, is_child_whole in _children(node, is_whole):
        yield from _combined_references(child, is_child_whole)


def _close(node: Schema, is_whole: bool) -> Schema:
    if isinstance(node, bool):
        return node
    closed: dict[str, Any] = dict(node)
    for (keyword, key), child, is_child_whole in _children(node, is_whole):
        new = _close(child, is_child_whole)
        if key is None:
            closed[keyword] = new
        else:
            if closed[keyword] is node[keyword]:
                closed[keyword] = node[keyword].copy()
            closed[keyword][key] = new
    if is_whole and _is_open(node):
        closed["additionalProperties"] = False
    return closed


def _is_open(node: dict[str, Any]) -> bool:
    if "properties" not in node or node.keys() & _SAYS_MORE:
        return False
    properties: dict[str, Schema] = node["properties"]
    is_all_but = any(each is False for each in properties.values())  # a list of what may not be there
    return not is_all_but and set(node.get("required", ())) <= properties.keys()


def _children(
    node: dict[str, Any], is_whole: bool
) -> Iterator[tuple[tuple[str, str | int | None], Schema, bool]]:
    """The schemas in a schema: where each stands, and whether it is all that is said of its value."""
    for keyword in ("properties", "patternProperties"):
        for name, child in node.get(keyword, {}).items():
            yield (keyword, name), child, True
    for keyword in ("items", "additionalProperties"):
        if keyword in node:
            yield (keyword, None), node[keyword], True
    for index, child in enumerate(node.get("prefixItems", ())):
        yield ("prefixItems", index), child, True
    for index, child in enumerate(node.get("allOf", ())):
        yield ("allOf", index), child, False
    is_alternative = is_whole and not node.keys() & (_PARTS_OF_OBJECTS | {"allOf", "$ref"})
    for index, child in enumerate(node.get("anyOf", ())):
        yield ("anyOf", index), child, is_alternative
