"""JSON answers, and how exceptions become one."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.errors import ApiError, InvalidRequestError, MethodNotAllowedError, RouteNotFoundError
from api.http.transport.dialect import OPENAI, Dialect, dialect_of


def json_answer(payload: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(payload), status, headers, media_type="application/json")


def error_answer(
    error: ApiError, dialect: Dialect = OPENAI, headers: dict[str, str] | None = None
) -> Response:
    all_headers = {**(headers or {}), **retry_headers(error.retry_after_seconds)}
    return json_answer(dialect.error_object(error), error.status, all_headers)


def retry_headers(seconds: int | None) -> dict[str, str]:
    """Says when to come back, where the reason passes by itself."""
    return {} if seconds is None else {"retry-after": str(seconds)}


async def answer_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_answer(error, dialect_of(request.scope))


async def answer_http_exception(request: Request, exception: Exception) -> Response:
    """The router's own refusals: no such route, wrong method (whose Allow header is kept)."""
    assert isinstance(exception, HTTPException)
    dialect, headers = dialect_of(request.scope), dict(exception.headers or {})
    route = f"{request.method} {request.url.path}"
    if exception.status_code == 404:
        return error_answer(RouteNotFoundError(f"Unknown route: {route}."), dialect, headers)
    if exception.status_code == 405:
        return error_answer(MethodNotAllowedError(f"Method not allowed: {route}."), dialect, headers)
    error = InvalidRequestError(str(exception.detail))
    error.status = exception.status_code
    return error_answer(error, dialect, headers)
