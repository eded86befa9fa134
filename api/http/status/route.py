"""``GET /health`` and ``GET /stats``."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from typing_extensions import TypedDict

from api.errors import NotServingError
from api.http.transport.context import context_of
from api.http.transport.description import describe
from api.http.transport.json_answers import json_answer, retry_headers

router = APIRouter()


class HealthAnswer(TypedDict):
    status: Literal["loading", "ok", "draining", "dead"]
    detail: str


_HEALTH = describe(
    "Whether requests are taken", answer=HealthAnswer, refusals=(503,), answer_of_refusal=HealthAnswer
)


@router.api_route("/health", methods=["GET", "HEAD"], **_HEALTH)
async def health(request: Request) -> Response:
    """200 only while requests are taken, so a load balancer can go by the status alone."""
    current = context_of(request).handler.health
    answer: HealthAnswer = {"status": current.status, "detail": current.detail}
    if current.status == "ok":
        return json_answer(answer)
    return json_answer(answer, NotServingError.status, retry_headers(NotServingError.retry_after_seconds))


@router.api_route(
    "/stats", methods=["GET", "HEAD"], **describe("Counts, rates, seconds and bytes", refusals=(503,))
)
async def stats(request: Request) -> Response:
    http = context_of(request)
    http.require_loaded()
    return json_answer(http.handler.stats())
