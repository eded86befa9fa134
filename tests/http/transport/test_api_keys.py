from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from api.errors import ServerSideError
from api.keys.key import ApiKey, KeyLimits, hash_of
from api.keys.key_file import entry_of
from api.server_handler import Health
from tests.fakes.server_handler import FakeServerHandler, failing, hanging, hello
from tests.http.conftest import ClientFactory

KEY = "sk-right-0123456789"
BEARER = {"authorization": f"Bearer {KEY}"}
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/v1/chat/completions"
ORIGIN = {"origin": "http://localhost:3000"}


@pytest.fixture
def guarded(client_for: ClientFactory) -> httpx.AsyncClient:
    return client_for(api_key_hashes=(hash_of("other"), hash_of(KEY)))


def send(client: httpx.AsyncClient, method: str, path: str, **arguments: Any) -> httpx.Response:
    return asyncio.run(client.request(method, path, **arguments))


def post(client: httpx.AsyncClient, headers: dict[str, str] = BEARER, **fields: Any) -> httpx.Response:
    return send(client, "POST", PATH, json=CHAT | fields, headers=headers)


def limited(client_for: ClientFactory, folder: Path, **limits: int) -> httpx.AsyncClient:
    path = folder / "keys.toml"
    path.write_text(entry_of(ApiKey("ann", hash_of(KEY), KeyLimits(**limits))), encoding="utf-8")
    return client_for(api_key_file=str(path))


@pytest.mark.parametrize(
    "headers",
    [
        BEARER,
        {"authorization": f"bearer   {KEY} "},
        {"x-api-key": KEY},
        {"x-api-key": "other"},
        {"authorization": "Bearer none", "x-api-key": KEY},
        {"authorization": "Basic YTpi", "x-api-key": KEY},
        {**BEARER, "x-api-key": "none"},
    ],
)
def test_the_right_key(guarded: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert post(guarded, headers).status_code == 200
    assert send(guarded, "GET", "/stats", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "what"),
    [
        ({}, "An API key is needed."),
        ({"authorization": "Bearer"}, "An API key is needed."),
        ({"authorization": KEY}, "An API key is needed."),
        ({"authorization": f"Basic {KEY}"}, "An API key is needed."),
        ({"authorization": "Bearer sk-wrong"}, "The API key is wrong."),
        ({"authorization": f"Bearer {KEY}x"}, "The API key is wrong."),
        ({"authorization": f"Bearer {KEY[:-1]}"}, "The API key is wrong."),
        ({"authorization": f"Bearer {hash_of(KEY)}"}, "The API key is wrong."),
        ({"x-api-key": "\xff"}, "The API key is wrong."),
        ({"cookie": f"api_key={KEY}"}, "An API key is needed."),
    ],
)
def test_no_key_and_wrong_ones(
    guarded: httpx.AsyncClient, handler: FakeServerHandler, headers: dict[str, str], what: str
) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    response = send(guarded, "POST", PATH, json=CHAT, headers=raw)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
    assert error["param"] is None
    assert error["message"].startswith(what)
    assert KEY not in response.text
    assert response.headers["x-request-id"]
    assert (handler.requests, handler.refused_codes) == ([], ["invalid_api_key"])


@pytest.mark.parametrize("name", ["api_key", "api-key", "key", "access_token", "authorization", "x-api-key"])
def test_a_key_in_the_query_is_none(guarded: httpx.AsyncClient, name: str) -> None:
    response = send(guarded, "POST", f"{PATH}?{name}={KEY}", json=CHAT)
    assert response.status_code == 401
    assert "in the URL is not accepted" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    ["/", "/stats", "/v1/models", "/v1/models/model", "/openapi.json", "/nope", "/health/", "/health/x"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_a_key_guards_everything(guarded: httpx.AsyncClient, method: str, path: str) -> None:
    assert send(guarded, method, f"http://test{path}").status_code == 401


def test_but_not_health(guarded: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    assert send(guarded, "GET", "/health").status_code == 200
    handler.health = Health("loading", "")
    assert send(guarded, "HEAD", "/health").status_code == 503
    assert post(guarded, {}).status_code == 401  # not told apart by who asks without a key


def test_without_keys_every_key_will_do(client: httpx.AsyncClient) -> None:
    assert post(client, {"authorization": "Bearer none"}).status_code == 200


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"n": "wrong"}])
def test_keys_are_never_logged(
    client_for: ClientFactory, handler: FakeServerHandler, fields: dict[str, Any]
) -> None:
    client = client_for(verbose=True, api_key_hashes=(hash_of(KEY),))
    with capture_logs() as lines:
        post(client, **fields)
        post(client, {"authorization": "Bearer sk-wrong-0123"}, **fields)
        send(client, "GET", f"/nope?key={KEY}", headers=BEARER)
        handler.bug = ValueError("a bug")
        post(client, **fields)
    assert KEY not in repr((lines, handler.requests))
    assert "sk-wrong" not in repr((lines, handler.requests))


def test_a_page_may_read_why_and_its_preflight_needs_no_key(guarded: httpx.AsyncClient) -> None:
    preflight = send(guarded, "OPTIONS", PATH, headers=ORIGIN | {"access-control-request-method": "POST"})
    assert preflight.status_code == 200
    response = post(guarded, ORIGIN)
    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == "*"
    assert "x-ratelimit-remaining-tokens" in response.headers["access-control-expose-headers"].split(", ")


def test_requests_a_minute_are_held_and_told(client_for: ClientFactory, tmp_path: Path) -> None:
    client = limited(client_for, tmp_path, requests_per_minute=2)
    first, second, third = (post(client) for _ in range(3))
    assert [each.status_code for each in (first, second, third)] == [200, 200, 429]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert second.headers["x-ratelimit-remaining-requests"] == third.headers["x-ratelimit-remaining-requests"]
    assert third.headers["x-ratelimit-reset-requests"] in ("1m0s", "60s", "59s")
    assert third.headers["retry-after"] == "30"
    assert third.json()["error"]["code"] == "rate_limit_exceeded"
    assert "x-ratelimit-limit-tokens" not in third.headers
    assert send(client, "GET", "/stats", headers=BEARER).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_a_minute_are_counted_exactly(client_for: ClientFactory, tmp_path: Path, stream: bool) -> None:
    client = limited(client_for, tmp_path, tokens_per_minute=15)
    assert post(client, stream=stream).status_code == 200  # 10 tokens
    second = post(client, stream=stream)
    assert second.status_code == 200
    third = post(client, stream=stream)
    assert (third.status_code, third.headers["x-ratelimit-remaining-tokens"]) == (429, "0")
    assert third.headers["retry-after"] == "24"  # a debt of 5 and one more, at 15 a minute


def test_concurrent_requests_are_held_until_an_answer_has_ended(
    client_for: ClientFactory, handler: FakeServerHandler, tmp_path: Path
) -> None:
    client = limited(client_for, tmp_path, concurrent_requests=1)

    async def run() -> list[int]:
        handler.script = hanging
        first = asyncio.create_task(client.post(PATH, json=CHAT, headers=BEARER))
        while not handler.requests:
            await asyncio.sleep(0)
        second = await client.post(PATH, json=CHAT, headers=BEARER)
        for event in hello(handler.requests[0])[3:]:
            handler.channels[0].put(event)
        statuses = [(await first).status_code, second.status_code]
        handler.script = failing(ServerSideError("broken"))
        for _ in range(2):
            statuses.append((await client.post(PATH, json=CHAT, headers=BEARER)).status_code)
        return statuses

    assert asyncio.run(run()) == [200, 429, 500, 500]


def test_an_answer_may_be_as_long_as_the_key_says(
    client_for: ClientFactory, handler: FakeServerHandler, tmp_path: Path
) -> None:
    client = limited(client_for, tmp_path, max_tokens=5)
    assert post(client, max_tokens=5).status_code == 200
    assert post(client).status_code == 200
    response = post(client, max_tokens=6)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "max_tokens")
    assert [(each.max_tokens, each.most_tokens) for each in handler.requests] == [(5, 5), (None, 5)]
