"""Rewrites a JSON schema into the part of the language that llguidance enforces exactly.

Nothing passes that was not understood: a keyword that constrains values is translated, or refused with
its name and place; annotations and unknown keywords are dropped. All drafts are read as one language,
older spellings (``definitions``, array ``items``, boolean ``exclusiveMinimum``) mapped to the newest.
Where llguidance is known to go wrong (large numbers, ``additionalItems`` beside ``prefixItems``,
operators in character classes, repeated keys), the result is narrower than the schema, never wider.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from api.text.grammar.alternatives import Comparisons, Definitions, Schema, find_overlap
from api.text.grammar.closing import close_objects
from api.text.grammar.endless import find_endless
from api.text.grammar.errors import SchemaError
from api.text.grammar.object_keywords import (
    exclude_required,
    read_num_properties,
    read_required,
    restrict_names,
    translate_names,
)
from api.text.grammar.references import References
from api.text.grammar.unique_items import distinct_values, spell_out
from api.text.grammar.value_keywords import (
    MultipleOf,
    read_count,
    read_literal,
    read_numbers,
    read_string,
    read_types,
)

MAX_DEPTH = 40
MAX_NODES = 20_000
MAX_DEFINITIONS = 1_000  # parts that are referred to: a chain of more is too deep to compile
MAX_PATTERN_PROPERTIES = 100

_REFUSED = (  # llguidance refuses most of them too, but not by their place; the last three it passes over
    "not",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$dynamicRef",
    "$recursiveRef",
    "divisibleBy",
    "disallow",
    "extends",
)
_IDLE_WHEN_EMPTY = frozenset({"dependencies", "dependentRequired", "dependentSchemas", "extends"})
_UNEVALUATED = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_COMBINING = frozenset({"allOf", "anyOf", "oneOf", "$ref"})
_TYPE_OF_KEYWORD = {
    "properties": "object",
    "required": "object",
    "additionalProperties": "object",
    "patternProperties": "object",
    "items": "array",
    "prefixItems": "array",
}


def rewrite(schema: Any, *, definition_prefix: str = "d") -> tuple[Schema, Definitions]:
    """Returns the schema and the definitions that its references name, as ``#/$defs/<name>``.

    Raises SchemaError, which names the keyword and its place.
    """
    return _Rewriter(schema, definition_prefix).run(schema)


class _Rewriter:
    """One document. What is referred to becomes a definition of its own, read when its turn comes."""

    def __init__(self, root: Any, prefix: str) -> None:
        self._references = References(root)
        self._prefix = prefix
        self._names: dict[int, str] = {}  # id of a node that is referred to -> its definition
        self._places: dict[str, str] = {}  # definition -> where it stands in the document
        self._pending: deque[tuple[str, Any]] = deque()
        self._one_ofs: list[tuple[list[Schema], list[str] | None, str]] = []
        self._multiples = MultipleOf()
        self._num_nodes = 0
        self._num_patterns = 0

    def run(self, root: Any) -> tuple[Schema, Definitions]:
        schema = self._value(root, "#", 0)
        definitions: Definitions = {}
        while self._pending:
            name, node = self._pending.popleft()
            definitions[name] = self._schema(node, self._places[name], 0)
        comparisons = Comparisons()
        for options, types, path in self._one_ofs:
            if overlap := find_overlap(options, types, definitions, comparisons):
                raise SchemaError(f"'oneOf' needs options that exclude each other: {overlap}", path)
        if endless := find_endless(schema, definitions):
            raise SchemaError("'$ref' makes a value that can never end", self._places[endless])
        return close_objects(schema, definitions)

    def _value(self, node: Any, path: str, depth: int) -> Schema:
        """A schema for a whole value. One without a type is narrowed to that of its keywords.

        As it stands ``properties`` binds objects only and any number would do as well, which nobody
        who writes it means.
        """
        schema = self._schema(node, path, depth)
        if isinstance(schema, bool) or schema.keys() & {"type", "const", "enum"}:
            return schema
        types = {_TYPE_OF_KEYWORD[key] for key in schema if key in _TYPE_OF_KEYWORD}
        return {"type": sorted(types), **schema} if types else schema

    def _schema(self, node: Any, path: str, depth: int) -> Schema:
        self._count_node(depth)
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            raise SchemaError("a schema must be an object or a boolean", path)
        if node.get("not") in ({}, True):  # another way to write false
            return False
        _refuse(node, path)
        schema = read_types(node, path) | read_numbers(node, path, self._multiples)
        schema |= self._array(node, path, depth)
        schema |= self._object(node, path, depth)
        schema |= read_literal(node, path)
        return self._combine(schema, node, path, depth)

    def _count_node(self, depth: int) -> None:
        self._num_nodes += 1
        if depth > MAX_DEPTH:
            raise SchemaError(f"it is nested deeper than {MAX_DEPTH} levels")
        if self._num_nodes > MAX_NODES:
            raise SchemaError(f"it has more than {MAX_NODES} parts")

    def _count_patterns(self, num_patterns: int, path: str) -> None:
        """Every two of them are held against each other, which takes long."""
        self._num_patterns += num_patterns
        if self._num_patterns > MAX_PATTERN_PROPERTIES:
            raise SchemaError(
                f"more than {MAX_PATTERN_PROPERTIES} 'patternProperties' are not supported", path
            )

    def _array(self, node: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        prefix, rest = node.get("prefixItems"), node.get("items")
        if isinstance(rest, list):
            prefix, rest = rest, node.get("additionalItems")
        rest = node.get("unevaluatedItems") if rest is None else rest
        if prefix is not None:
            found["prefixItems"] = self._list(prefix, f"{path}/prefixItems", depth, self._value)
        if rest is not None:
            found["items"] = self._value(rest, f"{path}/items", depth + 1)
        for keyword in ("minItems", "maxItems"):
            if (count := read_count(node, keyword, path)) is not None:
                found[keyword] = count
        return self._without_duplicates(found, node, path)

    def _without_duplicates(self, found: dict[str, Any], node: dict[str, Any], path: str) -> dict[str, Any]:
        if not node.get("uniqueItems") or found.get("maxItems", 2) <= 1:
            return found
        values = None if "prefixItems" in found else distinct_values(self._target(node.get("items"), path))
        if values is None:
            raise SchemaError("keyword 'uniqueItems' is not supported", path)
        others = [each for each in read_types(node, path).get("type", ()) if each != "array"]
        options = spell_out(found, values, path)
        if not options and not others:
            raise SchemaError("no array fits 'uniqueItems' within these bounds", path)
        return {"anyOf": [*options, {"type": others}] if others else options}

    def _target(self, node: Any, path: str) -> Any:
        """What a schema that is a plain reference refers to."""
        for _ in range(MAX_DEPTH):
            if not isinstance(node, dict) or "$ref" not in node:
                return node
            node = self._references.resolve(node["$ref"], node, path)
        return None

    def _object(self, node: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for keyword in ("properties", "patternProperties"):
            if keyword in node:
                found[keyword] = self._map(node[keyword], f"{path}/{keyword}", depth)
        if "patternProperties" in found:
            found["patternProperties"] = translate_names(found["patternProperties"], path)
            self._count_patterns(len(found["patternProperties"]), path)
        rest = node.get("additionalProperties", node.get("unevaluatedProperties"))
        if rest is not None:
            found["additionalProperties"] = self._value(rest, f"{path}/additionalProperties", depth + 1)
        found |= read_required(node, path)
        found |= read_num_properties(node, len(found.get("required", ())), path)
        if "propertyNames" in node:
            names = self._schema(node["propertyNames"], f"{path}/propertyNames", depth + 1)
            found = restrict_names(found, names, path)
        return found

    def _map(self, schemas: Any, path: str, depth: int) -> dict[str, Schema]:
        if not isinstance(schemas, dict):
            raise SchemaError("an object of schemas is expected", path)
        return {name: self._value(each, f"{path}/{name}", depth + 1) for name, each in schemas.items()}

    def _list(
        self, schemas: Any, path: str, depth: int, read: Callable[[Any, str, int], Schema]
    ) -> list[Schema]:
        if not isinstance(schemas, list):
            raise SchemaError("a list of schemas is expected", path)
        return [read(each, f"{path}/{index}", depth + 1) for index, each in enumerate(schemas)]

    def _combine(self, schema: dict[str, Any], node: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        """Adds what may come several times; one of each stands in the schema, the others beside it."""
        combined: list[Schema] = []
        types = {"type": schema["type"]} if "type" in schema else {}
        for strings in read_string(node, path):
            _put(strings, schema, combined, types)
        for keyword in ("anyOf", "oneOf"):
            if keyword in node:
                options = self._list(node[keyword], f"{path}/{keyword}", depth, self._schema)
                if keyword == "oneOf":
                    options = exclude_required(options)
                _put({"anyOf": options}, schema, combined, types)
                if keyword == "oneOf":
                    self._one_ofs.append((options, schema.get("type"), path))
        if "allOf" in node:
            combined += self._list(node["allOf"], f"{path}/allOf", depth, self._schema)
        if combined:
            schema["allOf"] = combined
        if "$ref" in node:
            schema["$ref"] = self._refer(node, path)
        return schema

    def _refer(self, node: dict[str, Any], path: str) -> str:
        target = self._references.resolve(node["$ref"], node, path)
        name = self._names.get(id(target))
        if name is None:
            if len(self._names) == MAX_DEFINITIONS:
                raise SchemaError(f"it refers to more than {MAX_DEFINITIONS} parts of itself", path)
            name = self._names[id(target)] = f"{self._prefix}{len(self._names)}"
            self._places[name] = str(node["$ref"])
            self._pending.append((name, target))
        return f"#/$defs/{name}"


def _put(
    found: dict[str, Any], schema: dict[str, Any], combined: list[Schema], types: dict[str, Any]
) -> None:
    if found.keys() & schema.keys():
        combined.append({**types, **found})
    else:
        schema.update(found)


def _refuse(node: dict[str, Any], path: str) -> None:
    for keyword in _REFUSED:
        if keyword in node and not _is_harmless(keyword, node):
            raise SchemaError(f"keyword '{keyword}' is not supported", path)
    if "if" in node and ("then" in node or "else" in node):
        raise SchemaError("keyword 'if' is not supported", path)


def _is_harmless(keyword: str, node: dict[str, Any]) -> bool:
    """What nothing is combined with leaves unevaluated just what it does not name itself."""
    if keyword in _UNEVALUATED:
        return not node.keys() & _COMBINING
    return node[keyword] == {} and keyword in _IDLE_WHEN_EMPTY
