from __future__ import annotations

import asyncio

import httpx
import pytest
import structlog
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from api.config import ServerConfig
from api.http.transport.middleware import ErrorBoundaryMiddleware
from app import create_app
from tests.fakes.server_handler import FakeServerHandler

SCOPE = {"type": "http", "method": "GET", "path": "/", "headers": []}
START: Message = {"type": "http.response.start", "status": 200, "headers": []}


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)


async def receive() -> Message:
    return {"type": "http.disconnect"}


def run_with_failing_send(text: str) -> None:
    async def send(message: Message) -> None:
        raise RuntimeError(text)

    asyncio.run(ErrorBoundaryMiddleware(answer)(SCOPE, receive, send))


def test_a_closed_transport_is_a_client_that_left() -> None:
    run_with_failing_send("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


def test_other_errors_of_sending_are_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="misuse"):
        run_with_failing_send("misuse")


def test_the_lines_of_a_request_and_the_request_itself_have_the_clients_name_for_it() -> None:
    handler = FakeServerHandler()
    handler.bug = ValueError("a bug")
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(ServerConfig(), handler.typed)), base_url="http://test"
    )

    def post() -> None:
        body = {"model": "model", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"x-request-id": "users-own-1"}
        asyncio.run(client.post("/v1/chat/completions", json=body, headers=headers))

    with capture_logs(processors=(structlog.contextvars.merge_contextvars,)) as lines:
        post()
    (line,) = [line for line in lines if line["event"] == "unexpected error"]
    assert line["x_request_id"] == "users-own-1"
    handler.bug = None
    post()
    assert handler.requests[0].x_request_id == "users-own-1"
    assert structlog.contextvars.get_contextvars() == {}
