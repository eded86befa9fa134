"""``GET /openapi.json``: what this server takes and answers, from the models that check and build it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from api.http.chat_completions.answer_shapes import ChatCompletion, ChatCompletionChunk
from api.http.chat_completions.shape import ChatCompletionRequest
from api.http.completions.answer_shapes import TextCompletion
from api.http.completions.shape import CompletionRequest
from api.http.fields.answer_shapes import ErrorAnswer
from api.http.models.answer import ModelList, ModelObject
from api.http.tokenize.answer import DetokenizeAnswer, TokenizeAnswer
from api.http.tokenize.shape import DetokenizeRequest, TokenizeRequest
from api.http.transport.json_answers import json_answer

router = APIRouter()


class EndpointList(TypedDict):
    endpoints: list[str]


class HealthAnswer(TypedDict):
    status: Literal["loading", "ok", "draining", "dead"]
    detail: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; ``chunk`` is what its stream consists of."""

    method: str
    path: str
    summary: str
    answer: Any = None  # None: any JSON object
    body: Any = None
    chunk: Any = None
    other_statuses: tuple[int, ...] = ()

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


_READS_BODY = (400, 404, 413, 415, 429, 500, 503, 504)

OPERATIONS = (
    Operation(
        "POST",
        "/v1/chat/completions",
        "Answer a chat",
        ChatCompletion,
        ChatCompletionRequest,
        ChatCompletionChunk,
        _READS_BODY,
    ),
    Operation(
        "POST",
        "/v1/completions",
        "Continue texts",
        TextCompletion,
        CompletionRequest,
        TextCompletion,
        _READS_BODY,
    ),
    Operation(
        "POST", "/tokenize", "A text or a chat in tokens", TokenizeAnswer, TokenizeRequest, None, _READS_BODY
    ),
    Operation(
        "POST", "/detokenize", "Tokens as a text", DetokenizeAnswer, DetokenizeRequest, None, _READS_BODY
    ),
    Operation("GET", "/v1/models", "The names of the model", ModelList, other_statuses=(503,)),
    Operation("GET", "/v1/models/{id}", "One name of the model", ModelObject, other_statuses=(404, 503)),
    Operation("GET", "/health", "Whether requests are taken", HealthAnswer),
    Operation("GET", "/stats", "Counts, rates, seconds and bytes", other_statuses=(503,)),
    Operation("GET", "/openapi.json", "This description"),
    Operation("GET", "/", "The list of endpoints", EndpointList),
)

_STATUS_TEXTS = {
    400: "A field is wrong, or cannot be honoured",
    404: "No such model",
    413: "The body is too large",
    415: "The body is no JSON, or compressed in a way that is not known",
    429: "The queue is full",
    500: "The server failed",
    503: "The server does not take requests now",
    504: "The time limit is over",
}

_RETRY_AFTER = {
    "headers": {
        "Retry-After": {
            "description": "Seconds until another try makes sense",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        }
    }
}


@router.api_route("/openapi.json", methods=["GET", "HEAD"], response_model=None)
async def describe(request: Request) -> Response:
    return json_answer(openapi_document(request.app.title, request.app.version))


@cache
def openapi_document(title: str, version: str) -> dict[str, Any]:
    names, components = _json_schemas()
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        described = _describe(operation, names)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": components},
    }


def _json_schemas() -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """Returns each type's reference, and all definitions."""
    used = {shape for each in OPERATIONS for shape in (each.answer, each.body, each.chunk)} - {None}
    inputs = [
        (shape, "validation", TypeAdapter(shape))
        for shape in sorted(used | {ErrorAnswer}, key=lambda s: s.__name__)
    ]
    references, document = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    return {shape: schema for (shape, _), schema in references.items()}, document["$defs"]


def _describe(operation: Operation, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "responses": {"200": _answers(operation, schemas)}
        | {str(status): _error(status, schemas) for status in sorted(operation.other_statuses)},
    }
    if operation.path == "/health":
        described["responses"]["503"] = _json(_STATUS_TEXTS[503], schemas[HealthAnswer]) | _RETRY_AFTER
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[operation.body]}},
        }
    if "{id}" in operation.path:
        described["parameters"] = [
            {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        ]
    return described


def _answers(operation: Operation, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    schema = {"type": "object"} if operation.answer is None else schemas[operation.answer]
    answers = _json("The answer", schema)
    if operation.chunk is not None:
        answers["description"] = (
            "The answer; with `stream`, events whose data are chunks, and [DONE] at the end"
        )
        answers["content"]["text/event-stream"] = {
            "schema": _event(schemas[operation.chunk], schemas[ErrorAnswer])
        }
    return answers


def _event(chunk: dict[str, Any], error: dict[str, Any]) -> dict[str, Any]:
    payload = {"contentMediaType": "application/json", "contentSchema": {"anyOf": [chunk, error]}}
    data = {"type": "string", "anyOf": [{"const": "[DONE]"}, payload]}
    return {"type": "object", "required": ["data"], "properties": {"data": data}}


def _error(status: int, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    described = _json(_STATUS_TEXTS[status], schemas[ErrorAnswer])
    return described | _RETRY_AFTER if status in (429, 503) else described


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
