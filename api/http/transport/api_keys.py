"""Who may use the server: a layer that asks for an API key, and holds its holder to the key's limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError, AuthenticationError, RateLimitError
from api.http.transport.dialect import dialect_of
from api.http.transport.json_answers import error_answer
from api.keys.key_ring import KeyRing, Tenant
from api.server_handler import ServerHandler

log = structlog.get_logger(__name__)

OPEN_PATHS = ("/health",)  # which a load balancer asks for
_RATES = ("limit", "remaining", "reset")
RATE_LIMIT_HEADERS = tuple(f"x-ratelimit-{rate}-{kind}" for kind in ("requests", "tokens") for rate in _RATES)
_UNCOUNTED_METHODS = ("GET", "HEAD", "OPTIONS")
_HOW = (
    "Send it as 'Authorization: Bearer YOUR_KEY' or 'x-api-key: YOUR_KEY'; "
    "a key in the URL is not accepted, because URLs are written down in many places."
)
_CHALLENGE = {"www-authenticate": "Bearer"}


def no_request(scope: Scope) -> bool:
    return False


class ApiKeyMiddleware:
    """Nothing but what is open is served without a key; limits count what may cost time, so no GET."""

    def __init__(
        self,
        app: ASGIApp,
        keys: KeyRing,
        handler: ServerHandler,
        is_page: Callable[[Scope], bool] = no_request,
    ) -> None:
        """``is_page``: whether a request is for files of the page, which asks for the key itself."""
        self._app = app
        self._keys = keys
        self._handler = handler
        self._is_page = is_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._keys.is_guarding or self._is_open(scope):
            await self._app(scope, receive, send)
            return
        tenant = self._tenant(scope)
        if tenant is None:
            error = AuthenticationError(f"{_what_is_wrong(scope)} {_HOW}")
            await self._refuse(error, _CHALLENGE, scope, receive, send)
            return
        scope.setdefault("state", {})["tenant"] = tenant
        if scope["method"] in _UNCOUNTED_METHODS:
            await self._app(scope, receive, send)
        else:
            await self._serve_counted(tenant, scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        return route_path(scope) in OPEN_PATHS or self._is_page(scope)

    def _tenant(self, scope: Scope) -> Tenant | None:
        found = (self._keys.find(each) for each in _secrets(scope))
        return next((tenant for tenant in found if tenant is not None), None)

    async def _serve_counted(self, tenant: Tenant, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            tenant.meter.enter()
        except RateLimitError as error:
            await self._refuse(error, tenant.meter.headers(), scope, receive, send)
            return

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                MutableHeaders(scope=message).update(tenant.meter.headers())
            await send(message)

        try:
            await self._app(scope, receive, send_with_limits)
        finally:
            tenant.meter.leave()

    async def _refuse(
        self, error: ApiError, headers: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._handler.record_refusal(error)
        await error_answer(error, dialect_of(scope), headers)(scope, receive, send)


def tenant_of(request: Request) -> Tenant | None:
    """Whose key the request came with; None where the server needs none."""
    found: Tenant | None = request.scope.get("state", {}).get("tenant")
    return found


def _secrets(scope: Scope) -> Iterator[str]:
    """What may be a key: both places count, because a client or a proxy fills one with a placeholder."""
    headers = Headers(scope=scope)
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        yield token.strip()
    if other := headers.get("x-api-key", "").strip():
        yield other


def _what_is_wrong(scope: Scope) -> str:
    return "The API key is wrong." if any(_secrets(scope)) else "An API key is needed."


def route_path(scope: Scope) -> str:
    """As the routes have it: without what a proxy in front takes away."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
