"""Plain ASGI layers around the application; they hold back neither streams nor disconnects."""

from __future__ import annotations

import re
import secrets

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ServerSideError
from api.http.transport.dialect import dialect_of
from api.http.transport.json_answers import error_answer

log = structlog.get_logger(__name__)

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class RequestIdMiddleware:
    """Puts ``x-request-id`` on answers and log lines: the client's own where it is sane, else a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["x_request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = dialect_of(scope).request_id_headers  # known by now: the route has been found
                own = [(name.encode(), request_id.encode()) for name in names]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        with structlog.contextvars.bound_contextvars(x_request_id=request_id):
            await self._app(scope, receive, send_with_id)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _SANE_REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(16)}"


class ErrorBoundaryMiddleware:
    """The net under all handlers: an exception in a handler is logged and answered, and ends nothing else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def watched_send(message: Message) -> None:
            nonlocal has_started
            has_started = True
            try:
                await send(message)
            except RuntimeError as error:
                if "handler is closed" not in str(error):
                    raise
                # uvloop's word for a connection that ended with pipelined requests still in line
                raise ClientDisconnect from error

        try:
            await self._app(scope, receive, watched_send)
        except ClientDisconnect:
            log.debug("client left", path=scope["path"])
        except Exception:
            # The one place where a bug in any handler ends: the client must get an answer all the same.
            log.exception("unexpected error", method=scope["method"], path=scope["path"])
            if has_started:
                raise  # nothing can be said any more; the server closes the connection
            error = ServerSideError("The server met an unexpected error.")
            await error_answer(error, dialect_of(scope))(scope, receive, send)
