"""``GET /v1/models`` and ``GET /v1/models/{id}``."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.http.fields.model_names import check_model_name
from api.http.models.answer import model_list, model_object
from api.http.transport.context import context_of
from api.http.transport.json_answers import json_answer

router = APIRouter()


@router.api_route("/v1/models", methods=["GET", "HEAD"], response_model=None)
async def list_models(request: Request) -> Response:
    http = context_of(request)
    http.require_loaded()
    return json_answer(model_list(http.handler.served_model))


@router.api_route("/v1/models/{model_id:path}", methods=["GET", "HEAD"], response_model=None)
async def retrieve_model(request: Request, model_id: str) -> Response:
    """The id may hold slashes, plain or percent-encoded: repository ids do."""
    http = context_of(request)
    http.require_loaded()
    served = http.handler.served_model
    check_model_name(model_id, served, http.config.accept_any_model)
    return json_answer(model_object(model_id, served))
