"""``POST /tokenize`` and ``POST /detokenize``."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.protocol.tokenize import (
    detokenize_answer,
    parse_detokenize,
    parse_tokenize,
    to_text,
    to_tokens,
    tokenize_answer,
)
from api.routes.answers import json_answer
from api.routes.context import context_of
from api.routes.intake import read_body

router = APIRouter()


@router.post("/tokenize", response_model=None)
async def tokenize(request: Request) -> Response:
    http = context_of(request)
    _, ask = await read_body(request, http, parse_tokenize, to_tokens)
    token_ids = await http.handler.read_aside(ask)
    return json_answer(tokenize_answer(token_ids, http.handler.served_model))


@router.post("/detokenize", response_model=None)
async def detokenize(request: Request) -> Response:
    http = context_of(request)
    _, ask = await read_body(request, http, parse_detokenize, to_text)
    return json_answer(detokenize_answer(await http.handler.read_aside(ask)))
