"""The description of the whole API, made of what its routes say of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from api.http.transport.description import JSON_TYPE, STREAM_TYPE, routes_in
from api.http.transport.dialect import Dialect, dialect_of_route


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Made once for each application."""
    if app.openapi_schema is None:
        app.openapi_schema = _document(app.title, app.version, routes_in(app.routes))
    return app.openapi_schema


def endpoint_lines(app: FastAPI) -> list[str]:
    routes = routes_in(app.routes)
    return [f"{method} {route.path_format}" for route in routes for method in methods_of(route)]


def methods_of(route: APIRoute) -> list[str]:
    """Without HEAD, which goes without saying wherever there is a GET."""
    return sorted((route.methods or set()) - {"HEAD"})


def _document(title: str, version: str, routes: Sequence[APIRoute]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route)
        for method in methods_of(route):
            paths.setdefault(route.path_format, {})[method.lower()] = operation
    schemas, components = _json_schemas(set(_types_in(paths)))
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": _with_schemas(paths, schemas),
        "components": {"schemas": components},
    }


def _operation(route: APIRoute) -> dict[str, Any]:
    dialect = dialect_of_route(route)
    responses = {str(status): _response(each, dialect) for status, each in route.responses.items()}
    return {"summary": route.summary, "responses": responses} | (route.openapi_extra or {})


def _response(described: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Adds what depends on the dialect: the shape of errors, and how a stream's objects are framed."""
    content = described.get("content", {JSON_TYPE: {"schema": dialect.error_shape}})
    if STREAM_TYPE not in content:
        return described | {"content": content}
    end = "" if dialect.end_mark is None else f", and {dialect.end_mark} at the end"
    return {
        "description": f"{described['description']}; with `stream`, events whose data are chunks{end}",
        "content": content | {STREAM_TYPE: {"schema": _event(content[STREAM_TYPE]["schema"], dialect)}},
    }


def _event(chunk: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    payload = {"contentMediaType": JSON_TYPE, "contentSchema": chunk}
    is_mark = {"const": dialect.end_mark}
    data = {"type": "string"} | (payload if dialect.end_mark is None else {"anyOf": [is_mark, payload]})
    name = {"event": {"type": "string"}} if dialect.names_events else {}
    properties = name | {"data": data}
    return {"type": "object", "required": list(properties), "properties": properties}


def _json_schemas(shapes: set[type]) -> tuple[dict[type, dict[str, Any]], dict[str, Any]]:
    """Returns each type's reference, and all definitions."""
    in_order = sorted(shapes, key=lambda shape: (shape.__name__, shape.__module__))
    inputs: Any = [(shape, "validation", TypeAdapter(shape)) for shape in in_order]
    references, document = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    return {shape: schema for (shape, _), schema in references.items()}, document["$defs"]


def _types_in(node: Any) -> Iterator[type]:
    if isinstance(node, dict | list):
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _types_in(inner)
    elif isinstance(node, type):
        yield node


def _with_schemas(node: Any, schemas: dict[type, dict[str, Any]]) -> Any:
    """The same, with a schema in the place of each type."""
    if isinstance(node, dict):
        return {key: _with_schemas(inner, schemas) for key, inner in node.items()}
    if isinstance(node, list):
        return [_with_schemas(inner, schemas) for inner in node]
    return schemas[node] if isinstance(node, type) else node
