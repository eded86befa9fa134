"""Which web pages may use the server: a layer that turns the others' requests away.

A browser sends what any page tells it to, also to a server that only this machine can reach. It does say
which page that was (``Origin``) and what name it looked up (``Host``), and a page can fake neither.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.config import ServerConfig
from api.errors import ForeignHostError
from api.http.transport.dialect import dialect_of
from api.http.transport.json_answers import error_answer
from api.server_handler import ServerHandler

_ANY = "*"


class OriginGuardMiddleware:
    """Refuses origins that are neither local nor allowed and, on loopback, names that are not this machine's.

    Whoever is no browser sends no ``Origin``, and is not concerned. A name without a dot is no foreign
    page's: nobody can register one, and point it at this machine.
    """

    def __init__(self, app: ASGIApp, config: ServerConfig, handler: ServerHandler) -> None:
        self._app = app
        self._handler = handler
        self._origins = frozenset(origin.rstrip("/").lower() for origin in config.cors_origins)
        hosts = (config.host, *(_host_of_origin(each) for each in config.cors_origins))
        self._hosts = frozenset(host.lower() for host in hosts if host)
        self._checks_host = config.uds is None and is_loopback(config.host) and _ANY not in self._origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._objection(Headers(scope=scope)) if scope["type"] == "http" else None
        if error is None:
            await self._app(scope, receive, send)
            return
        self._handler.record_refusal(error)
        await error_answer(error, dialect_of(scope))(scope, receive, send)

    def _objection(self, headers: Headers) -> ForeignHostError | None:
        host = _host_of(headers.get("host", ""))
        if self._checks_host and "." in host and not (is_loopback(host) or host in self._hosts):
            return ForeignHostError(
                f"The host {host[:128]!r} is not served here: the server listens for its own machine only, "
                "under names such as 'localhost'. Behind a proxy, name its address with --cors-origin."
            )
        origins = headers.getlist("origin")
        if all(self._is_allowed(origin, host) for origin in origins):
            return None
        return ForeignHostError(
            f"Web pages of {origins[0][:128]!r} may not use this server; --cors-origin allows it.",
            code="origin_not_allowed",
        )

    def _is_allowed(self, origin: str, host: str) -> bool:
        if _ANY in self._origins or origin.lower() in self._origins:
            return True
        of_page = _host_of_origin(origin)
        return bool(of_page) and (is_loopback(of_page) or of_page == host)


def is_loopback(host: str) -> bool:
    """Whether a name or an address means the machine itself, whatever a name server says."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(authority: str) -> str:
    """The name or address of a ``Host`` header, without its port; "" where it is malformed."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _host_of_origin(origin: str) -> str:
    scheme, separator, authority = origin.partition("://")
    return _host_of(authority) if scheme.lower() in ("http", "https") and separator else ""
