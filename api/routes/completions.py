"""``POST /v1/completions``."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.protocol.completions import parse_completion, to_generation_request
from api.protocol.envelope import Envelope
from api.protocol.text_answers import TextCollector, TextWriter
from api.routes.context import context_of
from api.routes.generation import stream_answer, whole_answer
from api.routes.intake import read_body

router = APIRouter()


@router.post("/v1/completions", response_model=None)
async def create_completion(request: Request) -> Response:
    http = context_of(request)
    body, generation = await read_body(request, http, parse_completion, to_generation_request)
    envelope = Envelope.of(body, generation, http.handler.served_model, echoes=bool(body.echo))
    if body.stream:
        return await stream_answer(request, http, generation, TextWriter(envelope))
    return await whole_answer(request, http, generation, TextCollector(envelope))
