"""Who a request counts against, for fair shares, and whose prompts it may find.

Nobody is kept out by it: that is ``api_keys.py``. Where keys are checked, they alone say who it is.
"""

from __future__ import annotations

import hashlib

from starlette.requests import Request

from api.http.transport.api_keys import tenant_of

_KEY_HEADERS = ("api-key", "x-api-key")


def client_id_of(request: Request, secret: bytes) -> str:
    """A digest of the key's name or, where none is needed, of the client's key and address.

    ``secret`` is this process's own. A key that is not checked would not do alone: half the world sends a
    placeholder. The address alone would make one client of all behind a proxy. (uvicorn has put the forwarded
    address in place where it trusts the proxy.)
    """
    tenant = tenant_of(request)
    if tenant is not None:
        return hashlib.blake2b(tenant.key.name.encode(), key=secret, digest_size=16).hexdigest()
    address = request.client.host if request.client is not None else ""
    identity = f"{_api_key(request)}\n{address}".encode()
    return hashlib.blake2b(identity, key=secret, digest_size=16).hexdigest()


def cache_salt_of(request: Request, own_salt: str, *, shares: bool) -> str:
    """Whose kept prompts a request may find: those of the same API key, and of the same ``own_salt``.

    ``shares``: of any key. The same value in every process and after a restart, since kept prompts may
    outlive the process, but not the key itself. No salt of a request's own gives that of somebody's key.
    """
    tenant = tenant_of(request)
    key = "" if shares else _api_key(request) if tenant is None else tenant.key.hash
    if not key:
        return own_salt and f":{own_salt}"
    return f"{hashlib.blake2b(key.encode(), person=b'prefix-cache', digest_size=32).hexdigest()}:{own_salt}"


def _api_key(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    others = (request.headers.get(name, "") for name in _KEY_HEADERS)
    return next((key for each in (token or scheme, *others) if (key := each.strip())), "")
