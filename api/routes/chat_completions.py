"""``POST /v1/chat/completions``."""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Request, Response

from api.errors import ApiError
from api.protocol.chat_completions import (
    ChunkWriter,
    Envelope,
    parse_chat_completion,
    to_generation_request,
    whole_response,
)
from api.routes.answers import json_answer
from api.routes.body import read_json
from api.routes.context import HttpContext, context_of
from api.routes.exchange import Exchange
from api.routes.sse import EventStreamResponse
from api.schemas.chat_completions import ChatCompletionRequest
from api.types import GenerationRequest

router = APIRouter()
log = structlog.get_logger(__name__)


@router.post("/v1/chat/completions", response_model=None)
async def create_chat_completion(request: Request) -> Response:
    http = context_of(request)
    body = await _read_body(request, http)
    generation = to_generation_request(body)
    envelope = Envelope.of(body, generation, http.handler.served_model)
    exchange = _submit(request, http, generation)
    if body.stream:
        first = await exchange.first_event()
        return EventStreamResponse(exchange, first, ChunkWriter(envelope), http.config.keep_alive_seconds)
    text, finished = await exchange.whole_answer()
    answer = whole_response(envelope, text, finished.finish_reason, finished.usage)
    log.debug("response", request_id=generation.request_id, body=answer)
    return json_answer(answer)


async def _read_body(request: Request, http: HttpContext) -> ChatCompletionRequest:
    try:
        http.require_serving()
        data = await read_json(request, http.config.max_body_bytes)
        log.debug("request", body=data)
        body = parse_chat_completion(data, http.handler.served_model, http.config.accept_any_model)
    except ApiError as error:
        http.handler.record_refusal(error)
        raise
    http.unknown_fields.report(body.model_extra or ())
    return body


def _submit(request: Request, http: HttpContext, generation: GenerationRequest) -> Exchange:
    return Exchange(
        handler=http.handler,
        channel=http.handler.submit(generation),
        receive=request.receive,
        timeout_seconds=http.config.request_timeout_seconds,
        started_seconds=generation.arrival_seconds,
    )
