"""``POST /v1/completions``."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.http.completions.answer import TextCollector, TextWriter
from api.http.completions.answer_shapes import TextCompletion
from api.http.completions.request import parse_completion, to_generation_request
from api.http.completions.shape import CompletionRequest
from api.http.fields.answer_outline import AnswerOutline
from api.http.fields.answer_shapes import ErrorAnswer
from api.http.transport.context import context_of
from api.http.transport.description import BODY_STATUSES, describe
from api.http.transport.generation import stream_answer, whole_answer
from api.http.transport.request_body import accept_body

router = APIRouter()

_DESCRIPTION = describe(
    "Continue texts",
    body=CompletionRequest,
    answer=TextCompletion,
    events=(TextCompletion, ErrorAnswer),
    refusals=BODY_STATUSES,
)


@router.post("/v1/completions", **_DESCRIPTION)
async def create_completion(request: Request) -> Response:
    http = context_of(request)
    body, generation = await accept_body(request, http, parse_completion, to_generation_request)
    outline = AnswerOutline.of(body, generation, http.handler.served_model, echoes=bool(body.echo))
    if body.stream:
        return await stream_answer(request, http, generation, TextWriter(outline))
    return await whole_answer(request, http, generation, TextCollector(outline))
