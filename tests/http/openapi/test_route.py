from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from api.http.chat_completions.shape import ChatCompletionRequest
from api.http.openapi.route import OPERATIONS, openapi_document
from app import ROUTE_MODULES


def references(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(references, node))
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"]} if "$ref" in node else set()
    return own.union(*map(references, node.values()))


def test_it_is_served(client: httpx.AsyncClient) -> None:
    document = asyncio.run(client.get("/openapi.json")).json()
    assert document == openapi_document("MLX chat server", document["info"]["version"])
    assert document["openapi"] == "3.1.0"


def test_every_reference_leads_somewhere() -> None:
    document = openapi_document("x", "1")
    defined = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= defined


def test_every_route_is_described_and_nothing_else() -> None:
    served = {
        (method, route.path.replace("{model_id:path}", "{id}"))
        for module in ROUTE_MODULES
        for route in module.router.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert served == {(each.method, each.path) for each in OPERATIONS}


def test_bodies_are_those_that_are_checked() -> None:
    document = openapi_document("x", "1")
    operation = document["paths"]["/v1/chat/completions"]["post"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    assert set(schema["properties"]) == set(ChatCompletionRequest.model_fields)
    assert set(schema["required"]) == {"model", "messages"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.line)
def test_each_answer_is_described(operation: Any) -> None:
    responses = openapi_document("x", "1")["paths"][operation.path][operation.method.lower()]["responses"]
    assert "application/json" in responses["200"]["content"]
    for status, response in responses.items():
        assert ("Retry-After" in response.get("headers", {})) is (status in ("429", "503"))
        expected = "HealthAnswer" if operation.path == "/health" else "ErrorAnswer"
        schema = response["content"]["application/json"]["schema"]
        assert status == "200" or schema["$ref"].endswith(expected)
