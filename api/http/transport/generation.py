"""A request on its way through the engine, answered as a stream or in one piece; for all dialects."""

from __future__ import annotations

from dataclasses import replace

import structlog
from fastapi import Request, Response

from api.errors import ApiError
from api.http.transport.api_keys import tenant_of
from api.http.transport.client_identity import cache_salt_of, client_id_of
from api.http.transport.context import HttpContext
from api.http.transport.dialect import Collector, EventWriter, dialect_of
from api.http.transport.event_stream import EventStreamResponse
from api.http.transport.json_answers import json_answer
from api.http.transport.live_request import Events, LiveRequest
from api.http.transport.tenant_limits import MeteredEvents, within_limits
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
    tenant = tenant_of(request)
    try:
        limited = generation if tenant is None else within_limits(generation, tenant.key.limits)
    except ApiError as error:
        http.handler.record_refusal(error)
        raise
    owned = replace(
        limited,
        client_id=client_id_of(request, http.client_secret),
        cache_salt=cache_salt_of(request, generation.cache_salt, shares=http.config.share_prefix_cache),
        x_request_id=request.state.x_request_id,
    )
    channel: Events = http.handler.submit(owned)
    if tenant is not None and tenant.meter.counts_tokens:
        channel = MeteredEvents(channel, tenant.meter)
    return LiveRequest(
        handler=http.handler,
        channel=channel,
        receive=request.receive,
        timeout_seconds=http.config.request_timeout_seconds,
        started_seconds=generation.arrival_seconds,
    )
