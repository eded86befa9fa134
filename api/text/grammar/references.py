"""Finds what a ``$ref`` means within one schema document."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from api.text.grammar.errors import SchemaError

# Values, not schemas: an "$id" in them identifies nothing.
_DATA_KEYWORDS = frozenset({"const", "enum", "default", "example", "examples"})


class References:
    """An index of the document's identifiers; nothing is ever fetched."""

    def __init__(self, root: Any) -> None:
        self._resources: dict[str, Any] = {"": root}
        self._anchors: dict[str, Any] = {}
        self._base_of: dict[int, str] = {}  # id of a node -> URI of the resource that it is part of
        self._collect(root)

    def resolve(self, reference: object, node: Any, path: str) -> Any:
        """Returns the schema that ``reference``, standing in ``node``, names. Raises SchemaError."""
        if not isinstance(reference, str):
            raise SchemaError("'$ref' must be a string", path)
        resource, fragment = urldefrag(urljoin(self._base_of.get(id(node), ""), reference))
        if resource not in self._resources:
            raise SchemaError(f"'$ref' to {reference!r} is not within the schema", path)
        if fragment and not fragment.startswith("/"):
            return self._by_anchor(f"{resource}#{fragment}", path)
        return self._by_pointer(self._resources[resource], fragment, path)

    def _by_anchor(self, uri: str, path: str) -> Any:
        if uri not in self._anchors:
            raise SchemaError(f"'$ref' to an unknown anchor {uri!r}", path)
        return self._anchors[uri]

    def _by_pointer(self, resource: Any, pointer: str, path: str) -> Any:
        node = resource
        for part in unquote(pointer).split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, dict) and key in node:
                node = node[key]
            else:
                raise SchemaError(f"'$ref' points to nothing: '#{pointer}'", path)
        return node

    def _collect(self, root: Any) -> None:
        pending: list[tuple[Any, str]] = [(root, "")]
        while pending:
            node, base = pending.pop()
            if isinstance(node, dict):
                base = self._register(node, base)
                pending += [(value, base) for key, value in node.items() if key not in _DATA_KEYWORDS]
            elif isinstance(node, list):
                pending += [(item, base) for item in node]

    def _register(self, node: dict[str, Any], base: str) -> str:
        identifier = node.get("$id", node.get("id"))
        if isinstance(identifier, str):
            if isinstance(node.get("$ref"), str) and self._base_of:  # drafts disagree whether it counts
                raise SchemaError("'$id' beside '$ref' is supported only at the root")
            base, fragment = urldefrag(urljoin(base, identifier))
            if fragment:
                self._anchors[f"{base}#{fragment}"] = node
            else:
                self._resources[base] = node
        if isinstance(node.get("$anchor"), str):
            self._anchors[f"{base}#{node['$anchor']}"] = node
        self._base_of[id(node)] = base
        return base
