"""``GET /openapi.json`` and ``GET /``."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from typing_extensions import TypedDict

from api.http.openapi.document import endpoint_lines, openapi_document
from api.http.transport.description import describe
from api.http.transport.json_answers import json_answer

router = APIRouter()


class EndpointList(TypedDict):
    endpoints: list[str]


@router.api_route("/openapi.json", methods=["GET", "HEAD"], **describe("This description"))
async def describe_api(request: Request) -> Response:
    return json_answer(openapi_document(request.app))


@router.api_route("/", methods=["GET", "HEAD"], **describe("The list of endpoints", answer=EndpointList))
async def list_endpoints(request: Request) -> Response:
    answer: EndpointList = {"endpoints": endpoint_lines(request.app)}
    return json_answer(answer)
