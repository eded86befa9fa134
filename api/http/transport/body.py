"""Receives a body with a hard limit on its size, and parses it strictly."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request

from api.errors import BodyTooLargeError, ContentTypeError, InvalidRequestError
from api.http.transport.content_encoding import Decoder, decoders_of
from api.http.transport.json_structure import JsonLimits, JsonStructure, structure_of

_MAX_DEPTH = 256  # of arrays and objects: whoever walks through them later may do so by recursion


@dataclass(frozen=True, slots=True)
class RawBody:
    """As it came; ``decoders`` undo its content codings."""

    data: bytes
    decoders: tuple[Decoder, ...]


async def receive_body(request: Request, max_bytes: int) -> RawBody:
    """Raises ContentTypeError, ContentEncodingError, BodyTooLargeError and ClientDisconnect."""
    _check_content_type(request.headers.get("content-type"))
    decoders = decoders_of(",".join(request.headers.getlist("content-encoding")))
    _check_declared_length(request.headers.get("content-length"), max_bytes)
    chunks: list[bytes] = []
    num_bytes = 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    return RawBody(b"".join(chunks), decoders)


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


def parse_json(text: bytes, limits: JsonLimits) -> Any:
    """Strict JSON: UTF-8, no NaN, no lone surrogates, bounded depth, no key twice in an object.

    Raises InvalidRequestError, also where the text is made of more things than ``limits`` allow.
    """
    if not text or text.isspace():
        raise _malformed("it is empty")
    structure = structure_of(text)
    limits.check(structure)
    try:
        data = orjson.loads(text)
        if _num_keys(data, structure) < structure.num_keys:
            _refuse_duplicate_keys(text)
    except orjson.JSONDecodeError as error:
        raise _malformed(str(error)) from None
    return data


def _num_keys(data: Any, structure: JsonStructure) -> int:
    """How many keys the parser has kept; raises InvalidRequestError for values nested too deeply.

    Level by level, and no further than it takes to be sure of both.
    """
    num_keys = depth = 0
    level = [data]
    while level and (num_keys < structure.num_keys or structure.num_containers > _MAX_DEPTH):
        depth += 1
        if depth > _MAX_DEPTH:
            raise _malformed(f"it is nested more than {_MAX_DEPTH} levels deep")
        num_keys += sum(len(each) for each in level if isinstance(each, dict))
        level = [inner for each in level for inner in _values_of(each) if isinstance(inner, dict | list)]
    return num_keys


def _values_of(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_duplicate_keys(text: bytes) -> None:
    # Which of two values wins differs between parsers, so a proxy may have checked the other one.
    # Numbers are not converted in this pass: Python refuses integers of thousands of digits.
    json.loads(text, object_pairs_hook=_without_duplicates, parse_int=len, parse_float=len)


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
