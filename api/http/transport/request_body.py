"""The way of every body: received, inflated, parsed, checked; refusals are counted, unknown fields logged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Generic, TypeVar

import structlog
from fastapi import Request
from pydantic import BaseModel

from api.errors import ApiError, BodyTooLargeError, ContentTypeError
from api.http.compatibility.foreign import FOREIGN_NAMES
from api.http.fields.validation import unknown_fields
from api.http.transport.body_line import Checkpoint, is_large
from api.http.transport.content_encoding import Decoder, decode, decoders_of
from api.http.transport.context import HttpContext
from api.http.transport.json_structure import JsonLimits
from api.http.transport.strict_json import parse_json
from api.server_handler import ServedModel

log = structlog.get_logger(__name__)

_MAX_UNKNOWN_FIELDS = 1000  # looked at in one body

Body = TypeVar("Body", bound=BaseModel)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BodyParser(Generic[Body, Result]):
    """Makes of a JSON text what a route works with; ``run`` goes on whichever thread has the time."""

    parse: Callable[[object, ServedModel, bool], Body]
    convert: Callable[[Body, ServedModel], Result]
    served: ServedModel
    accepts_any_model: bool

    def run(self, text: bytes, check_wanted: Checkpoint) -> tuple[Body, Result, list[str]]:
        """Returns the typed body, what ``convert`` makes of it, and the fields that nobody knows."""
        data = parse_json(text, JsonLimits.of(self.served))
        log.debug("request", body=f"{len(text)} bytes" if is_large(len(text)) else data)
        check_wanted()
        body = self.parse(data, self.served, self.accepts_any_model)
        check_wanted()
        result = self.convert(body, self.served)
        looked_at = islice(unknown_fields(body), _MAX_UNKNOWN_FIELDS)
        return body, result, [name for name in looked_at if name not in FOREIGN_NAMES]


async def accept_body(
    request: Request,
    http: HttpContext,
    parse: Callable[[object, ServedModel, bool], Body],
    convert: Callable[[Body, ServedModel], Result],
) -> tuple[Body, Result]:
    """Returns the typed body and what ``convert`` makes of it. Raises ApiError and ClientDisconnect."""
    try:
        http.require_serving()
        text = await _receive_text(request, http)
        parser = BodyParser(parse, convert, http.handler.served_model, http.config.accept_any_model)
        if is_large(len(text)):
            work = partial(parser.run, text)
            body, result, unknown = await http.body_line.run(len(text), request.receive, work)
        else:
            body, result, unknown = parser.run(text, lambda: None)
    except ApiError as error:
        http.handler.record_refusal(error)
        raise
    http.unknown_fields.report(unknown)
    return body, result


async def _receive_text(request: Request, http: HttpContext) -> bytes:
    max_bytes = http.config.max_body_bytes
    raw = await _receive_body(request, max_bytes)
    if not raw.decoders:
        return raw.data

    def inflate(check_wanted: Checkpoint) -> bytes:
        return decode(raw.data, raw.decoders, max_bytes)

    return await http.body_line.run(len(raw.data), request.receive, inflate)


@dataclass(frozen=True, slots=True)
class _RawBody:
    """As it came; ``decoders`` undo its content codings."""

    data: bytes
    decoders: tuple[Decoder, ...]


async def _receive_body(request: Request, max_bytes: int) -> _RawBody:
    """Raises ContentTypeError, ContentEncodingError, BodyTooLargeError and ClientDisconnect."""
    _check_content_type(request.headers.get("content-type"), is_from_page="origin" in request.headers)
    decoders = decoders_of(",".join(request.headers.getlist("content-encoding")))
    _check_declared_length(request.headers.get("content-length"), max_bytes)
    chunks: list[bytes] = []
    num_bytes = 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    return _RawBody(b"".join(chunks), decoders)


def _check_content_type(value: str | None, *, is_from_page: bool) -> None:
    """A browser asks the server before a page may send it JSON; without a type it does not ask."""
    media_type = (value or "").partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        return
    if not media_type and not is_from_page:
        return
    raise ContentTypeError(
        f"The content type {media_type!r} is not supported; send 'Content-Type: application/json'."
    )


def _check_declared_length(value: str | None, max_bytes: int) -> None:
    if value is not None and value.isdecimal() and int(value) > max_bytes:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The request body is larger than {max_bytes} bytes.")
