"""What every handler needs, kept on the application."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from starlette.requests import Request

from api.config import ServerConfig
from api.errors import NotServingError
from api.http.transport.body_line import BodyLine
from api.keys.key_ring import KeyRing
from api.server_handler import ServerHandler

log = structlog.get_logger(__name__)

_MAX_REMEMBERED_NAMES = 256  # a client that invents names must not grow the set for ever
_MAX_NAME_LENGTH = 64
_BODIES_IN_LINE = 16  # of the largest size


@dataclass(slots=True)
class UnknownFields:
    """Logs each field that nobody knows once, so that a misspelt parameter can be found."""

    seen: set[str] = field(default_factory=set)

    def report(self, names: Iterable[str]) -> None:
        for name in names:
            if len(self.seen) >= _MAX_REMEMBERED_NAMES:
                return
            short = name[:_MAX_NAME_LENGTH]
            if short not in self.seen:
                self.seen.add(short)
                log.warning("unknown request field ignored", field=short)


@dataclass(frozen=True, slots=True)
class HttpContext:
    config: ServerConfig
    handler: ServerHandler
    body_line: BodyLine
    keys: KeyRing
    unknown_fields: UnknownFields = field(default_factory=UnknownFields)
    client_secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @classmethod
    def of(cls, config: ServerConfig, handler: ServerHandler) -> HttpContext:
        """Raises StartupError where the file of API keys is wrong."""
        timeout_seconds = config.request_timeout_seconds or None
        line = BodyLine(_BODIES_IN_LINE * config.max_body_bytes, timeout_seconds)
        return cls(config, handler, line, KeyRing(config.api_key_hashes, config.api_key_file))

    def require_loaded(self) -> None:
        """Raises NotServingError as long as there is no model to speak of."""
        health = self.handler.health
        if health.status == "loading":
            raise NotServingError(f"The model is still loading. {health.detail}".rstrip())

    def require_serving(self) -> None:
        """Raises NotServingError unless new requests are taken."""
        self.require_loaded()
        health = self.handler.health
        if health.status != "ok":
            raise NotServingError(f"The server takes no requests ({health.status}). {health.detail}".rstrip())


def context_of(request: Request) -> HttpContext:
    context: HttpContext = request.app.state.http
    return context
