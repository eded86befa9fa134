"""Requests made from the app's own OpenAPI document, good and bad: no crash, and errors of one shape."""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from hypothesis import settings
from schemathesis import Case, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.config import ServerConfig
from app import create_app
from tests.fakes.server_handler import FakeServerHandler

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]


def load_schema() -> schemathesis.BaseSchema:
    config = schemathesis.Config.from_dict(
        {"generation": {"mode": "all", "deterministic": True}, "max-stream-events": 100_000}
    )
    app = create_app(ServerConfig(accept_any_model=True), FakeServerHandler().typed)
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=config)


schema = load_schema()


def check_error(response: Response) -> None:
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str) and error["message"]
    assert isinstance(error["type"], str) and error["type"]
    assert isinstance(error["param"], str | None)
    assert isinstance(error["code"], str | None)


def check_stream(response: Response) -> None:
    """The document describes a stream's chunks; what a validator takes for an event is more than that."""
    lines = [line for line in response.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    *chunks, last = [line.removeprefix("data: ") for line in lines]
    assert last == "[DONE]"
    assert chunks and all("object" in json.loads(chunk) for chunk in chunks)


def check_answer(case: Case[Any]) -> None:
    response = case.call()
    is_stream = response.headers.get("content-type", [""])[0].startswith("text/event-stream")
    case.validate_response(response, checks=CHECKS if is_stream else [*CHECKS, response_schema_conformance])
    if is_stream:
        check_stream(response)
    if response.status_code >= 400:
        check_error(response)


@schema.parametrize()
@settings(max_examples=100, deadline=None, database=None)
def test_every_answer_is_as_described(case: Case[Any]) -> None:
    check_answer(case)


@schema.include(path_regex="completions$").parametrize()
@settings(max_examples=40, deadline=None, database=None)
def test_streams_too(case: Case[Any]) -> None:
    """A stream is asked for rarely where each field is drawn by itself."""
    if isinstance(case.body, dict):
        case.body["stream"] = True
    check_answer(case)
