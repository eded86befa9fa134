from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from api.routes.middleware import ErrorBoundaryMiddleware

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
