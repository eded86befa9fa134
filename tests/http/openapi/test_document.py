from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from api.config import ServerConfig
from api.http.chat_completions.shape import ChatCompletionRequest
from api.http.openapi.document import endpoint_lines, methods_of, openapi_document
from api.http.transport.description import routes_in
from app import create_app
from tests.fakes.server_handler import FakeServerHandler

APP = create_app(ServerConfig(), FakeServerHandler().typed)
DOCUMENT = openapi_document(APP)
OPERATIONS = [(method, route) for route in routes_in(APP.routes) for method in methods_of(route)]


def references(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(references, node))
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"]} if "$ref" in node else set()
    return own.union(*map(references, node.values()))


def undescribed(routes: Sequence[APIRoute]) -> list[str]:
    return [route.path for route in routes if not route.summary or 200 not in route.responses]


def test_every_reference_leads_somewhere() -> None:
    defined = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert references(DOCUMENT) <= defined


def test_every_route_is_described_and_nothing_else() -> None:
    assert undescribed(routes_in(APP.routes)) == []
    described = {f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item}
    assert described == set(endpoint_lines(APP))


def test_a_route_without_a_description_is_found() -> None:
    router = APIRouter()

    @router.get("/bare")
    async def bare() -> None: ...

    app = FastAPI()
    app.include_router(router)
    assert "/bare" in undescribed(routes_in(app.routes))


def test_bodies_are_those_that_are_checked() -> None:
    operation = DOCUMENT["paths"]["/v1/chat/completions"]["post"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]]
    assert set(schema["properties"]) == set(ChatCompletionRequest.model_fields)
    assert set(schema["required"]) == {"model", "messages"}


@pytest.mark.parametrize(("method", "route"), OPERATIONS, ids=endpoint_lines(APP))
def test_each_answer_is_described(method: str, route: APIRoute) -> None:
    responses = DOCUMENT["paths"][route.path_format][method.lower()]["responses"]
    answer_type = "text/plain" if route.path_format == "/metrics" else "application/json"
    assert answer_type in responses["200"]["content"]
    for status, response in responses.items():
        assert ("Retry-After" in response.get("headers", {})) is (status in ("429", "503"))
        expected = "HealthAnswer" if route.path == "/health" else "ErrorAnswer"
        schema = response["content"][answer_type if status == "200" else "application/json"]["schema"]
        assert status == "200" or schema["$ref"].endswith(expected)
