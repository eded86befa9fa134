"""``POST /v1/chat/completions``."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.http.chat_completions.answer import ChatCollector, ChunkWriter
from api.http.chat_completions.answer_shapes import ChatCompletion, ChatCompletionChunk
from api.http.chat_completions.request import parse_chat_completion, to_generation_request
from api.http.chat_completions.shape import ChatCompletionRequest
from api.http.fields.answer_outline import AnswerOutline
from api.http.fields.answer_shapes import ErrorAnswer
from api.http.fields.reasoning import shows_reasoning
from api.http.transport.context import context_of
from api.http.transport.description import BODY_STATUSES, describe
from api.http.transport.generation import stream_answer, whole_answer
from api.http.transport.request_body import accept_body

router = APIRouter()

_DESCRIPTION = describe(
    "Answer a chat",
    body=ChatCompletionRequest,
    answer=ChatCompletion,
    events=(ChatCompletionChunk, ErrorAnswer),
    refusals=BODY_STATUSES,
)


@router.post("/v1/chat/completions", **_DESCRIPTION)
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
