"""Bodies on their way in, through the whole application."""

from __future__ import annotations

import asyncio
import gzip
import threading
from typing import Any

import httpx
import orjson
import pytest

from api.http.transport import request_body
from tests.fakes.server_handler import FakeServerHandler
from tests.http.conftest import ClientFactory

CHAT = "/v1/chat/completions"
BODY = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
LONG = BODY | {"messages": [{"role": "user", "content": "hi, there: " * 20_000}]}


def send(client: httpx.AsyncClient, content: bytes, encoding: str = "identity") -> httpx.Response:
    return asyncio.run(client.post(CHAT, content=content, headers={"content-encoding": encoding}))


@pytest.mark.parametrize("body", [BODY, LONG])
def test_a_compressed_body_is_inflated(
    client: httpx.AsyncClient, handler: FakeServerHandler, body: Any
) -> None:
    assert send(client, gzip.compress(orjson.dumps(body)), "gzip").status_code == 200
    prompt: Any = handler.requests[0].prompt
    assert prompt.messages[0]["content"] == body["messages"][0]["content"]


@pytest.mark.parametrize(
    ("content", "encoding", "status", "code"),
    [
        (b"{}", "br", 415, "unsupported_content_encoding"),
        (b"{}", "gzip", 400, "invalid_content_encoding"),
        (gzip.compress(bytes(200_000)), "gzip", 413, "request_too_large"),
    ],
)
def test_what_cannot_be_inflated_is_refused(
    client_for: ClientFactory,
    handler: FakeServerHandler,
    content: bytes,
    encoding: str,
    status: int,
    code: str,
) -> None:
    response = send(client_for(max_body_bytes=100_000), content, encoding)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert handler.refused_codes == [code]


def test_a_large_body_is_parsed_as_a_small_one(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    assert send(client, orjson.dumps(LONG)).status_code == 200
    wrong = send(client, orjson.dumps(LONG | {"temperature": 3}))
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "temperature")
    assert handler.refused_codes == ["invalid_value"]


def test_others_are_answered_while_a_large_body_is_parsed(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    parse_json = request_body.parse_json

    def wait_and_parse(text: bytes, limits: Any) -> Any:
        assert len(text) < 1000 or may_go_on.wait(10)
        return parse_json(text, limits)

    async def both() -> tuple[httpx.Response, ...]:
        large = asyncio.create_task(client.post(CHAT, json=LONG))
        await asyncio.sleep(0)
        small = [await client.get("/health"), await client.post(CHAT, json=BODY)]
        assert not large.done()
        may_go_on.set()
        return (*small, await large)

    monkeypatch.setattr(request_body, "parse_json", wait_and_parse)
    assert [response.status_code for response in asyncio.run(both())] == [200, 200, 200]


@pytest.mark.parametrize("path", [CHAT, "/tokenize"])
def test_more_messages_than_tokens_are_refused_unchecked(client: httpx.AsyncClient, path: str) -> None:
    body = BODY | {"messages": [{"role": "nobody"}] * 4097}
    response = asyncio.run(client.post(path, json=body))
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (
        400,
        "context_length_exceeded",
        "messages",
    )
    assert "4097 messages" in error["message"]


def test_a_body_of_too_many_things_names_the_limit(client: httpx.AsyncClient) -> None:
    response = send(client, orjson.dumps(BODY | {"x": [[]] * 50_000}))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "request_too_complex"


def test_ids_for_a_long_context_are_not_too_many(client: httpx.AsyncClient) -> None:
    response = asyncio.run(client.post("/detokenize", json={"tokens": [65] * 300_000}))
    assert response.status_code == 200
