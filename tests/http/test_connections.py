"""Connections outlive refusals: with real sockets, since the connection is the thing under test."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import orjson
import pytest

from api.config import ServerConfig
from tests.fakes.live_server import live_server
from tests.fakes.server_handler import FakeServerHandler

GOOD = orjson.dumps({"model": "model", "messages": [{"role": "user", "content": "hi"}]})


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with live_server(FakeServerHandler(), ServerConfig(max_body_bytes=1000)) as url:
        yield url.removeprefix("http://")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", b"{", 400),
        ("/v1/chat/completions", b'{"stream": true}', 400),
        ("/v1/chat/completions", b" " * 200_000, 413),
        ("/nope", GOOD, 404),
        ("/v1/models", GOOD, 405),
    ],
)
def test_a_connection_survives_a_refusal(address: str, path: str, body: bytes, status: int) -> None:
    connection = http.client.HTTPConnection(address, timeout=5)
    connection.request("POST", path, body)
    refused = connection.getresponse()
    assert set(orjson.loads(refused.read())["error"]) == {"message", "type", "param", "code"}
    assert refused.status == status
    assert refused.getheader("x-request-id")
    used = connection.sock
    connection.request("POST", "/v1/chat/completions", GOOD)
    assert connection.getresponse().status == 200
    assert connection.sock is used
    connection.close()


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/org%2Ftiny", "/health"])
def test_a_head_has_no_body(address: str, path: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=5)
    connection.request("HEAD", path)
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    assert int(response.getheader("content-length") or 0) > 0
    connection.close()
