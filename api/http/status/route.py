"""``GET /``, ``GET /health`` and ``GET /stats``."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.errors import NotServingError
from api.http.openapi.route import OPERATIONS
from api.http.transport.context import context_of
from api.http.transport.json_answers import json_answer, retry_headers

router = APIRouter()


@router.api_route("/", methods=["GET", "HEAD"], response_model=None)
async def list_endpoints(request: Request) -> Response:
    return json_answer({"endpoints": [operation.line for operation in OPERATIONS]})


@router.api_route("/health", methods=["GET", "HEAD"], response_model=None)
async def health(request: Request) -> Response:
    """200 only while requests are taken, so a load balancer can go by the status alone."""
    current = context_of(request).handler.health
    answer = {"status": current.status, "detail": current.detail}
    if current.status == "ok":
        return json_answer(answer)
    return json_answer(answer, NotServingError.status, retry_headers(NotServingError.retry_after_seconds))


@router.api_route("/stats", methods=["GET", "HEAD"], response_model=None)
async def stats(request: Request) -> Response:
    http = context_of(request)
    http.require_loaded()
    return json_answer(http.handler.stats())
