"""Clients that leave: with real sockets, since a closed connection is the thing under test."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import orjson
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from api.http.transport.dialect import OPENAI
from api.http.transport.event_stream import EventStreamResponse
from api.http.transport.live_request import LiveRequest
from api.types import GenerationRequest, SamplingParams, TextPrompts
from tests.fakes.live_server import live_server, wait_until
from tests.fakes.server_handler import FakeServerHandler, Script, hanging, silent


def open_request(url: str, *, stream: bool) -> socket.socket:
    body = orjson.dumps({"model": "model", "messages": [{"role": "user", "content": "hi"}], "stream": stream})
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=5)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("script", [hanging, silent, lambda request: []])
def test_a_client_that_leaves_is_cancelled(stream: bool, script: Script) -> None:
    handler = FakeServerHandler(script)
    with live_server(handler) as url:
        connection = open_request(url, stream=stream)
        wait_until(lambda: handler.requests)
        assert handler.cancelled == []
        connection.close()
        wait_until(lambda: handler.cancelled, timeout_seconds=1)
        assert handler.cancelled == [handler.requests[0].request_id]


def test_a_client_that_leaves_after_some_text_is_cancelled() -> None:
    handler = FakeServerHandler(hanging)
    with live_server(handler) as url:
        connection = open_request(url, stream=True)
        received = b""
        while "✓".encode() not in received:
            received += connection.recv(4096)
        connection.close()
        wait_until(lambda: handler.cancelled, timeout_seconds=1)


def test_a_client_that_leaves_in_mid_upload_does_no_harm() -> None:
    handler = FakeServerHandler()
    with live_server(handler) as url:
        host, port = url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)))
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
        connection.close()
        with open_request(url, stream=False) as other:
            assert other.recv(4096).startswith(b"HTTP/1.1 200")
    assert len(handler.requests) == 1


def test_a_client_that_leaves_before_the_headers_is_cancelled() -> None:
    handler = FakeServerHandler(hanging)

    async def send(message: Message) -> None:
        raise ClientDisconnect

    async def receive() -> Message:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def answer() -> None:
        request = GenerationRequest("id", TextPrompts(("a",)), SamplingParams())
        channel: Any = handler.submit(request)
        live_request = LiveRequest(handler.typed, channel, receive, 0.0, 0.0)
        first = await live_request.first_event()
        await EventStreamResponse(live_request, first, OPENAI, SilentWriter(), 10.0)({}, receive, send)

    asyncio.run(answer())
    assert handler.cancelled == ["id"]


class SilentWriter:
    def feed(self, event: object) -> list[object]:
        return []
