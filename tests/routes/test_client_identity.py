from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from structlog.testing import capture_logs

from api.config import ServerConfig
from api.routes.client_identity import client_id_of
from app import create_app
from tests.fakes.server_handler import FakeServerHandler
from tests.routes.conftest import ClientFactory

SECRET = b"secret"
KEY = "sk-0123456789"
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}


def client_id(headers: dict[str, str] | None = None, address: str | None = "10.0.0.1") -> str:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    peer = None if address is None else (address, 1234)
    return client_id_of(Request({"type": "http", "headers": raw, "client": peer}), SECRET)


def test_a_client_is_its_key_wherever_it_puts_it() -> None:
    forms = [{"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY} "}]
    forms += [{"api-key": KEY}, {"x-api-key": KEY}, {"authorization": KEY}]
    assert len({client_id(form) for form in forms}) == 1
    assert client_id({"api-key": KEY}) != client_id({"api-key": KEY + "x"})
    assert client_id({"authorization": f"Bearer {KEY}", "api-key": "other"}) == client_id({"api-key": KEY})


def test_clients_behind_one_address_differ_by_key_and_those_of_one_placeholder_by_address() -> None:
    placeholder = {"authorization": "Bearer none"}
    ids = [client_id(headers) for headers in (placeholder, {"api-key": KEY}, None)]
    ids += [client_id(headers, "::1") for headers in (placeholder, {"api-key": KEY}, None)]
    assert len(set(ids)) == 6


@pytest.mark.parametrize("value", ["", "   "])
def test_an_empty_key_is_none(value: str) -> None:
    assert client_id({"authorization": value, "api-key": value}) == client_id()


def test_odd_connections_are_somebody_too() -> None:
    assert client_id(address=None)  # a unix socket
    assert client_id({"authorization": "Bearer \xff"}) != client_id()


def post(client: httpx.AsyncClient, path: str, body: dict[str, Any], **headers: str) -> None:
    assert asyncio.run(client.post(path, json=body, headers=headers)).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_both_dialects_hand_it_to_the_engine_and_nobody_sees_the_key(
    client_for: ClientFactory, handler: FakeServerHandler, stream: bool
) -> None:
    client = client_for(verbose=True)
    with capture_logs() as lines:
        post(client, "/v1/chat/completions", CHAT | {"stream": stream}, authorization=f"Bearer {KEY}")
        post(client, "/v1/completions", {"model": "tiny", "prompt": "hi", "user": "u"}, **{"x-api-key": KEY})
        post(client, "/v1/completions", {"model": "tiny", "prompt": "hi", "user": "v"})
    first, second, third = [request.client_id for request in handler.requests]
    assert first == second != third
    assert third
    assert KEY not in repr((handler.requests, lines))
    assert first not in repr(lines)


def test_each_process_has_a_secret_of_its_own() -> None:
    handler = FakeServerHandler()
    for _ in range(2):
        app = create_app(ServerConfig(), handler.typed)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
        post(client, "/v1/chat/completions", CHAT)
    assert handler.requests[0].client_id != handler.requests[1].client_id
