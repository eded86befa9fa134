"""The file of API keys: TOML, a table for each name, with the key's hash and its limits."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from api.errors import StartupError
from api.keys.key import ApiKey, KeyLimits

_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_LIMITS = tuple(field.name for field in fields(KeyLimits))
_MAX_NUMBER = 2**53


def is_name(text: str) -> bool:
    """Whether a key can be called so, here and in log lines."""
    return _NAME.fullmatch(text) is not None


def entry_of(key: ApiKey) -> str:
    """A key's table, as it stands in the file."""
    limits = [(name, getattr(key.limits, name)) for name in _LIMITS]
    lines = [f'["{key.name}"]', f'hash = "sha256:{key.hash}"']
    return "\n".join([*lines, *(f"{name} = {value}" for name, value in limits if value is not None)])


def read_key_file(path: str) -> tuple[ApiKey, ...]:
    """Raises StartupError, which says what is wrong and where."""
    try:
        with open(path, "rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise StartupError(f"cannot read the API keys in {path!r}: {error.strerror}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise StartupError(f"the API keys in {path!r} are not valid TOML: {error}") from error
    try:
        keys = tuple(_key(name, table) for name, table in tables.items())
        if len({key.hash for key in keys}) < len(keys):
            raise _WrongEntry("two names have the same hash")
    except _WrongEntry as error:
        raise StartupError(f"the API keys in {path!r}: {error}") from error
    return keys


class _WrongEntry(Exception):
    """What it says is part of a longer message."""


def _key(name: str, table: object) -> ApiKey:
    if not is_name(name):
        raise _WrongEntry(f"{name[:64]!r} is no name; use letters, digits and . _ @ + - (at most 64)")
    if not isinstance(table, Mapping):
        raise _WrongEntry(f"{name!r} is no table with a hash")
    match = _HASH.fullmatch(str(table.get("hash", "")))
    if match is None:
        raise _WrongEntry(f"{name!r} needs hash = 'sha256:' and 64 hexadecimal digits")
    if unknown := sorted(table.keys() - {"hash", *_LIMITS}):
        raise _WrongEntry(f"{name!r} has {unknown[0]!r}, which is none of {', '.join(_LIMITS)}")
    given = [limit for limit in _LIMITS if limit in table]
    values: dict[str, Any] = {limit: _number(name, limit, table[limit]) for limit in given}
    return ApiKey(name, match[1], KeyLimits(**values))


def _number(name: str, limit: str, value: object) -> int:
    minimum = -_MAX_NUMBER if limit == "priority" else 1
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= _MAX_NUMBER:
        raise _WrongEntry(f"{limit} of {name!r} is no whole number from {minimum} to {_MAX_NUMBER}")
    return value
