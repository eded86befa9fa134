from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from api.server_handler import Health
from tests.fakes.server_handler import FakeServerHandler
from tests.http.conftest import ClientFactory


def get(client: httpx.AsyncClient, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    return asyncio.run(client.request(method, path, headers=headers))


def test_models_are_listed(client: httpx.AsyncClient) -> None:
    payload = get(client, "/v1/models").json()
    assert payload["object"] == "list"
    assert payload["data"][0] == {
        "id": "org/tiny",
        "object": "model",
        "created": 1700000000,
        "owned_by": "local",
        "context_length": 4096,
        "sampling_defaults": {},
    }


@pytest.mark.parametrize("path", ["org/tiny", "org%2Ftiny", "tiny", "model"])
def test_a_model_is_found_by_each_of_its_names(client: httpx.AsyncClient, path: str) -> None:
    assert get(client, f"/v1/models/{path}").json()["id"] == path.replace("%2F", "/")


def test_an_unknown_model_is_not_found(client: httpx.AsyncClient, client_for: ClientFactory) -> None:
    response = get(client, "/v1/models/gpt-4o")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert get(client_for(accept_any_model=True), "/v1/models/gpt-4o").json()["id"] == "gpt-4o"


@pytest.mark.parametrize(
    ("status", "expected"), [("ok", 200), ("loading", 503), ("draining", 503), ("dead", 503)]
)
def test_health(client: httpx.AsyncClient, handler: FakeServerHandler, status: Any, expected: int) -> None:
    handler.health = Health(status, "reading weights")
    response = get(client, "/health")
    assert response.status_code == expected
    assert response.json() == {"status": status, "detail": "reading weights"}
    assert get(client, "/health", "HEAD").status_code == expected
    assert response.headers.get("retry-after") == (None if expected == 200 else "5")


@pytest.mark.parametrize("path", ["/stats", "/v1/models", "/v1/models/model"])
def test_nothing_is_known_while_loading(
    client: httpx.AsyncClient, handler: FakeServerHandler, path: str
) -> None:
    handler.health = Health("loading", "reading weights")
    response = get(client, path)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert "reading weights" in response.json()["error"]["message"]


def test_stats_and_the_list_of_endpoints(client: httpx.AsyncClient) -> None:
    assert get(client, "/stats").json() == {"uptime_seconds": 1.5}
    endpoints = get(client, "/").json()["endpoints"]
    assert {"GET /health", "POST /v1/completions", "POST /tokenize"} <= set(endpoints)


@pytest.mark.parametrize("path", ["/", "/stats", "/v1/models", "/v1/models/model", "/openapi.json"])
def test_whatever_can_be_got_has_a_head(client: httpx.AsyncClient, path: str) -> None:
    assert get(client, path, "HEAD").status_code == 200


@pytest.mark.parametrize("path", ["/nope", "/v1/chat/completions/", "/docs"])
def test_an_unknown_route(client: httpx.AsyncClient, path: str) -> None:
    response = get(client, path)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", {"POST"}),
        ("GET", "/v1/completions", {"POST"}),
        ("GET", "/tokenize", {"POST"}),
        ("POST", "/v1/models", {"GET", "HEAD"}),
        ("DELETE", "/v1/models/model", {"GET", "HEAD"}),
        ("PUT", "/stats", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method(client: httpx.AsyncClient, method: str, path: str, allowed: set[str]) -> None:
    response = get(client, path, method)
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == allowed
    assert response.json()["error"]["code"] == "method_not_allowed"


def test_a_sane_request_id_is_echoed(client: httpx.AsyncClient) -> None:
    assert get(client, "/health", **{"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    for bad in ("a b", "x" * 200, "<script>"):
        assert get(client, "/health", **{"x-request-id": bad}).headers["x-request-id"].startswith("req_")


def test_browsers_may_call_from_anywhere_where_the_operator_says_so(client_for: ClientFactory) -> None:
    client = client_for(cors_origins=("*",))
    wanted = "authorization,content-type,x-stainless-lang,x-stainless-retry-count"
    preflight = get(
        client,
        "/v1/chat/completions",
        "OPTIONS",
        **{
            "origin": "http://a.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": wanted,
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    for name in wanted.split(","):
        assert name in preflight.headers["access-control-allow-headers"]
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["x-request-id"]
    assert get(client, "/nope", origin="http://a.example").headers["access-control-allow-origin"] == "*"
