"""A route's description, in the places that FastAPI has for it; ``http/openapi`` makes a document of them.

Where the document will refer to a schema, a description has the type that it is the schema of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute
from typing_extensions import TypedDict

JSON_TYPE, STREAM_TYPE, TEXT_TYPE = "application/json", "text/event-stream", "text/plain"
BODY_STATUSES = (400, 404, 413, 415, 429, 500, 503, 504)  # with which a request that has a body is refused

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
    "Retry-After": {
        "description": "Seconds until another try makes sense",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}


class Description(TypedDict):
    """What a route's decorator is given besides the path."""

    response_model: None  # answers are made by hand, and bodies checked by hand
    summary: str
    responses: dict[int | str, dict[str, Any]]
    openapi_extra: dict[str, Any]


def describe(
    summary: str,
    *,
    answer: Any = None,
    answer_type: str = JSON_TYPE,
    events: Sequence[Any] = (),
    body: Any = None,
    refusals: Iterable[int] = (),
    answer_of_refusal: Any = None,
    parameters: Sequence[Mapping[str, Any]] = (),
) -> Description:
    """``answer`` (None: any object), ``body`` and ``events`` (what a stream consists of) are types.

    ``answer_type``: the media type of an answer that is no JSON; ``answer`` is its schema then.

    ``refusals`` are statuses; their answers are the dialect's errors, or of the type ``answer_of_refusal``.
    """
    content = {answer_type: {"schema": {"type": "object"} if answer is None else answer}}
    if events:
        content[STREAM_TYPE] = {"schema": {"anyOf": list(events)}}
    responses: dict[int | str, dict[str, Any]] = {200: {"description": "The answer", "content": content}}
    for status in refusals:
        responses[status] = _refusal(status, answer_of_refusal)
    extra: dict[str, Any] = {}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": {JSON_TYPE: {"schema": body}}}
    if parameters:
        extra["parameters"] = list(parameters)
    return {"response_model": None, "summary": summary, "responses": responses, "openapi_extra": extra}


def _refusal(status: int, answer: Any) -> dict[str, Any]:
    described: dict[str, Any] = {"description": _STATUS_TEXTS[status]}
    if answer is not None:
        described["content"] = {JSON_TYPE: {"schema": answer}}
    if status in (429, 503):
        described["headers"] = _RETRY_AFTER
    return described


def routes_in(routes: Sequence[BaseRoute]) -> list[APIRoute]:
    """An application's routes one by one, in the order of their declaration."""
    found = (each.original_route for each in iter_route_contexts(routes))
    return [route for route in found if isinstance(route, APIRoute)]
