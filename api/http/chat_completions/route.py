"""``POST /v1/chat/completions``."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.http.chat_completions.answer import ChatCollector, ChunkWriter
from api.http.chat_completions.request import parse_chat_completion, to_generation_request
from api.http.fields.answer_outline import AnswerOutline
from api.http.fields.reasoning import shows_reasoning
from api.http.transport.context import context_of
from api.http.transport.generation import stream_answer, whole_answer
from api.http.transport.request_body import accept_body

router = APIRouter()


@router.post("/v1/chat/completions", response_model=None)
async def create_chat_completion(request: Request) -> Response:
    http = context_of(request)
    body, generation = await accept_body(request, http, parse_chat_completion, to_generation_request)
    served = http.handler.served_model
    outline = AnswerOutline.of(
        body,
        generation,
        served,
        uses_functions=body.uses_functions,
        shows_reasoning=shows_reasoning(body),
    )
    if body.stream:
        return await stream_answer(request, http, generation, ChunkWriter(outline))
    return await whole_answer(request, http, generation, ChatCollector(outline))
