"""Answers to what never became a request."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from api.errors import ApiError
from api.http.transport.json_answers import error_answer


def refusal_bytes(error: ApiError, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A whole answer on the wire, after which the connection closes."""
    answer = error_answer(error)
    status = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}".encode()
    headers = [*default_headers, *answer.raw_headers, (b"connection", b"close")]
    return b"\r\n".join([status, *(name + b": " + value for name, value in headers), b"", bytes(answer.body)])
