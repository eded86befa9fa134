"""All keys that open this server, by what a client sends."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from api.errors import StartupError
from api.keys.key import ApiKey, hash_of
from api.keys.key_file import read_key_file
from api.keys.meter import Meter

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who holds a key: the key's name and limits, and what has been used of them."""

    key: ApiKey
    meter: Meter


class KeyRing:
    """The keys of the command line, which have no limits, and those of a file."""

    def __init__(self, hashes: Sequence[str], path: str | None) -> None:
        """Raises StartupError where the file is wrong."""
        # With a blank, which no name in a file has.
        self._fixed = tuple(ApiKey(f"key {number}", each) for number, each in enumerate(hashes, 1))
        self._path = path
        self._tenants: tuple[Tenant, ...] = ()
        self._put([] if path is None else read_key_file(path))

    @property
    def is_guarding(self) -> bool:
        """Whether a key is needed. A file without any lets nobody in."""
        return self._path is not None or bool(self._fixed)

    def find(self, secret: str) -> Tenant | None:
        """Takes the same time whether and where it is found."""
        wanted, found = hash_of(secret), None
        for tenant in self._tenants:
            if hmac.compare_digest(tenant.key.hash, wanted):
                found = tenant
        return found

    def reload(self) -> None:
        """Reads the file again; where it is wrong, the keys stay. Requests that run go on in any case."""
        if self._path is None:
            return
        try:
            keys = read_key_file(self._path)
        except StartupError as error:
            log.error("API keys not reloaded, those before stay", reason=str(error))
            return
        self._put(keys)
        log.info("API keys reloaded", keys=len(self._tenants))

    def _put(self, keys: Sequence[ApiKey]) -> None:
        meters = {tenant.key.name: tenant.meter for tenant in self._tenants}
        tenants = []
        for key in (*self._fixed, *keys):
            meter = meters.get(key.name) or Meter(key.limits)
            meter.set_limits(key.limits)
            tenants.append(Tenant(key, meter))
        self._tenants = tuple(tenants)
