"""``GET /metrics``."""

from __future__ import annotations

import asyncio
import os

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from api.http.metrics.exposition import exposition
from api.http.transport.context import HttpContext, context_of
from api.http.transport.description import TEXT_TYPE, describe

router = APIRouter()

_METRICS = describe(
    "The counts of /stats for Prometheus",
    answer={"type": "string"},
    answer_type=TEXT_TYPE,
    refusals=(503,),
)


@router.api_route("/metrics", methods=["GET", "HEAD"], **_METRICS)
async def metrics(request: Request) -> Response:
    http = context_of(request)
    http.require_loaded()
    # Writing it takes some milliseconds, which the event loop has no time for.
    text = await asyncio.to_thread(exposition, http.handler.read_stats(), _labels(http))
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _labels(http: HttpContext) -> dict[str, str]:
    """Of several workers each tells its own counts: whichever a scrape meets says which one it is."""
    labels = {"model_name": http.handler.served_model.names[0]}
    return labels | ({"worker": str(os.getpid())} if http.config.workers > 1 else {})
