"""An API key as the server knows it: a name, a hash and limits; never the key itself."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What the holder of a key may use; None: as much as there is."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None  # of prompts and answers together
    concurrent_requests: int | None = None
    max_tokens: int | None = None  # of one answer
    priority: int | None = None  # lower goes first; None: what the request says


@dataclass(frozen=True, slots=True)
class ApiKey:
    name: str
    hash: str  # SHA-256 in hexadecimal
    limits: KeyLimits = KeyLimits()


def hash_of(secret: str) -> str:
    """A plain hash will do, and costs a request nothing: a key that is made here cannot be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> str:
    return f"sk-{secrets.token_urlsafe(32)}"
