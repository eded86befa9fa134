"""Who a request counts against, so that clients get fair shares; nobody is let in or kept out by it."""

from __future__ import annotations

import hashlib

from starlette.requests import Request

_KEY_HEADERS = ("api-key", "x-api-key")


def client_id_of(request: Request, secret: bytes) -> str:
    """A digest of the client's API key and address; ``secret`` is this process's own.

    The key alone would not do: it is not checked here, and half the world sends a placeholder. The address
    alone would make one client of all behind a proxy. (uvicorn has put the forwarded address in place where
    it trusts the proxy.)
    """
    address = request.client.host if request.client is not None else ""
    identity = f"{_api_key(request)}\n{address}".encode()
    return hashlib.blake2b(identity, key=secret, digest_size=16).hexdigest()


def _api_key(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    others = (request.headers.get(name, "") for name in _KEY_HEADERS)
    return next((key for each in (token or scheme, *others) if (key := each.strip())), "")
