"""Reads a JSON body with a hard limit on its size."""

from __future__ import annotations

import json
from typing import Any

import orjson
from starlette.requests import Request

from api.errors import BodyTooLargeError, ContentTypeError, InvalidRequestError


async def read_json(request: Request, max_bytes: int) -> Any:
    """Returns the parsed body.

    Raises ContentTypeError, BodyTooLargeError, InvalidRequestError, and ClientDisconnect.
    """
    _check_content_type(request.headers.get("content-type"))
    _check_declared_length(request.headers.get("content-length"), max_bytes)
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > max_bytes:
            raise _too_large(max_bytes)
        body += chunk
    return parse_json(bytes(body))


def _check_content_type(value: str | None) -> None:
    media_type = (value or "").partition(";")[0].strip().lower()
    if media_type in ("", "application/json") or media_type.endswith("+json"):
        return
    raise ContentTypeError(
        f"The content type {media_type!r} is not supported; send 'Content-Type: application/json'."
    )


def _check_declared_length(value: str | None, max_bytes: int) -> None:
    if value is not None and value.isdecimal() and int(value) > max_bytes:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The request body is larger than {max_bytes} bytes.")


def parse_json(body: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN, no lone surrogates, bounded depth, no key twice in an object."""
    if not body.strip():
        raise _malformed("it is empty")
    try:
        data = orjson.loads(body)
        _refuse_duplicate_keys(body)
    except orjson.JSONDecodeError as error:
        raise _malformed(str(error)) from None
    except RecursionError:
        raise _malformed("it is nested too deeply") from None
    return data


def _refuse_duplicate_keys(body: bytes) -> None:
    # Which of two values wins differs between parsers, so a proxy may have checked the other one.
    # Numbers are not converted in this pass: Python refuses integers of thousands of digits.
    json.loads(body, object_pairs_hook=_without_duplicates, parse_int=len, parse_float=len)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) == len(pairs):
        return
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _malformed(f"the key {key[:64]!r} occurs twice in one object")
        seen.add(key)


def _malformed(reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"The request body is not valid JSON: {reason}.", code="invalid_json")
