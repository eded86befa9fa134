"""``POST /tokenize`` and ``POST /detokenize``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from api.errors import ApiError, RequestTimeoutError
from api.http.tokenize.answer import DetokenizeAnswer, TokenizeAnswer, detokenize_answer, tokenize_answer
from api.http.tokenize.request import parse_detokenize, parse_tokenize, to_text, to_tokens
from api.http.tokenize.shape import DetokenizeRequest, TokenizeRequest
from api.http.transport.context import HttpContext, context_of
from api.http.transport.description import BODY_STATUSES, describe
from api.http.transport.json_answers import json_answer
from api.http.transport.live_request import run_while_connected
from api.http.transport.request_body import accept_body
from api.threads.contracts import Question

router = APIRouter()

_TOKENIZE = describe(
    "A text or a chat in tokens", body=TokenizeRequest, answer=TokenizeAnswer, refusals=BODY_STATUSES
)
_DETOKENIZE = describe(
    "Tokens as a text", body=DetokenizeRequest, answer=DetokenizeAnswer, refusals=BODY_STATUSES
)


@router.post("/tokenize", **_TOKENIZE)
async def tokenize(request: Request) -> Response:
    http = context_of(request)
    _, question = await accept_body(request, http, parse_tokenize, to_tokens)
    token_ids = await _ask(request, http, question)
    return json_answer(tokenize_answer(token_ids, http.handler.served_model))


@router.post("/detokenize", **_DETOKENIZE)
async def detokenize(request: Request) -> Response:
    http = context_of(request)
    _, question = await accept_body(request, http, parse_detokenize, to_text)
    return json_answer(detokenize_answer(await _ask(request, http, question)))


async def _ask(request: Request, http: HttpContext, question: Question) -> Any:
    """Gives the question up when the client leaves."""
    limit_seconds = http.config.request_timeout_seconds or None
    try:
        return await run_while_connected(http.handler.read_aside(question), request.receive, limit_seconds)
    except TimeoutError:
        raise RequestTimeoutError(f"The request took longer than {limit_seconds:g} s.") from None
    except ApiError as error:
        http.handler.record_refusal(error)
        raise
