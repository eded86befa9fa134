"""A request on its way through the engine, answered as a stream or in one piece; for all dialects."""

from __future__ import annotations

from dataclasses import replace

import structlog
from fastapi import Request, Response

from api.http.transport.client_identity import cache_salt_of, client_id_of
from api.http.transport.context import HttpContext
from api.http.transport.dialect import Collector, EventWriter, dialect_of
from api.http.transport.event_stream import EventStreamResponse
from api.http.transport.json_answers import json_answer
from api.http.transport.live_request import LiveRequest
from api.types import GenerationRequest

log = structlog.get_logger(__name__)


async def stream_answer(
    request: Request, http: HttpContext, generation: GenerationRequest, writer: EventWriter
) -> Response:
    """Raises what Failed carries as long as it is the first event: the status is still open then."""
    live_request = _submit(request, http, generation)
    first = await live_request.first_event()
    dialect = dialect_of(request.scope)
    return EventStreamResponse(live_request, first, dialect, writer, http.config.keep_alive_seconds)


async def whole_answer(
    request: Request, http: HttpContext, generation: GenerationRequest, collector: Collector
) -> Response:
    """Raises what Failed carries."""
    finished = await _submit(request, http, generation).all_events(collector.feed)
    answer = collector.answer(finished.usage)
    log.debug("response", request_id=generation.request_id, body=answer)
    return json_answer(answer)


def _submit(request: Request, http: HttpContext, generation: GenerationRequest) -> LiveRequest:
    owned = replace(
        generation,
        client_id=client_id_of(request, http.client_secret),
        cache_salt=cache_salt_of(request, generation.cache_salt, shares=http.config.share_prefix_cache),
        x_request_id=request.state.x_request_id,
    )
    return LiveRequest(
        handler=http.handler,
        channel=http.handler.submit(owned),
        receive=request.receive,
        timeout_seconds=http.config.request_timeout_seconds,
        started_seconds=generation.arrival_seconds,
    )
