"""``GET /v1/models`` and ``GET /v1/models/{id}``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from api.http.fields.model_names import check_model_name
from api.http.models.answer import ModelList, ModelObject, model_list, model_object
from api.http.transport.context import context_of
from api.http.transport.description import describe
from api.http.transport.json_answers import json_answer

router = APIRouter()

_LIST = describe("The names of the model", answer=ModelList, refusals=(503,))
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_ONE = describe("One name of the model", answer=ModelObject, refusals=(404, 503), parameters=[_ID])


@router.api_route("/v1/models", methods=["GET", "HEAD"], **_LIST)
async def list_models(request: Request) -> Response:
    http = context_of(request)
    http.require_loaded()
    return json_answer(model_list(http.handler.served_model))


@router.api_route("/v1/models/{id:path}", methods=["GET", "HEAD"], **_ONE)
async def retrieve_model(request: Request, model_id: Annotated[str, Path(alias="id")]) -> Response:
    """The id may hold slashes, plain or percent-encoded: repository ids do."""
    http = context_of(request)
    http.require_loaded()
    served = http.handler.served_model
    check_model_name(model_id, served, http.config.accept_any_model)
    return json_answer(model_object(model_id, served))
