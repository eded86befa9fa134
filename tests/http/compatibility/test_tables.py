"""The compatibility table is true: each row's example is sent to the application."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest

from api.config import ServerConfig
from api.events import OutputDelta, OutputPiece, TextEvent
from api.http.compatibility.extensions import CHAT_EXTENSIONS, COMPLETION_EXTENSIONS
from api.http.compatibility.field import Field, Support
from api.http.compatibility.foreign import CHAT_FOREIGN, COMPLETION_FOREIGN
from api.http.compatibility.objects import OBJECTS
from api.http.compatibility.openai import CHAT, COMPLETIONS
from api.types import ChatPrompt, GenerationRequest
from app import create_app
from tests.fakes.server_handler import FakeServerHandler, hello
from tests.http.compatibility import field_examples, foreign_examples
from tests.http.compatibility.field_examples import Example
from tests.http.compatibility.page import COMMAND, PAGE, page

CHAT_BODY = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "seed": 1}
TEXT_BODY = {"model": "tiny", "prompt": "hi", "seed": 1}
CHAT_PATH, TEXT_PATH = "/v1/chat/completions", "/v1/completions"

Row = tuple[str, Field, Example]  # path, row, what to send


def rows_of(path: str, fields: tuple[Field, ...], examples: Mapping[str, Example]) -> Iterator[Row]:
    assert set(examples) == {field.name for field in fields}
    yield from ((path, field, examples[field.name]) for field in fields)


def all_rows() -> Iterator[Row]:
    yield from rows_of(CHAT_PATH, CHAT, field_examples.CHAT)
    yield from rows_of(CHAT_PATH, CHAT_EXTENSIONS, field_examples.CHAT_EXTENSIONS)
    yield from rows_of(TEXT_PATH, COMPLETIONS, field_examples.COMPLETIONS)
    yield from rows_of(TEXT_PATH, COMPLETION_EXTENSIONS, field_examples.COMPLETION_EXTENSIONS)
    yield from rows_of(CHAT_PATH, CHAT_FOREIGN, foreign_examples.CHAT)
    yield from rows_of(TEXT_PATH, COMPLETION_FOREIGN, foreign_examples.COMPLETIONS)
    assert set(field_examples.OBJECTS) == set(OBJECTS)
    for name, fields in OBJECTS.items():
        yield from rows_of(CHAT_PATH, fields, field_examples.OBJECTS[name])


ROWS = list(all_rows())


def rows_with(*support: Support) -> pytest.MarkDecorator:
    chosen = [row for row in ROWS if row[1].support in support]
    return pytest.mark.parametrize(("path", "field", "example"), chosen, ids=[row[1].name for row in chosen])


def reasoning_first(request: GenerationRequest) -> list[TextEvent]:
    """As ``hello``, with some reasoning where the answer may have it."""
    first, *rest = hello(request)
    has_reasoning = isinstance(request.prompt, ChatPrompt)
    reasoning = [OutputDelta(request.request_id, 0, OutputPiece(reasoning="Hm"))] if has_reasoning else []
    return [first, *reasoning, *rest]


def send(path: str, *parts: dict[str, Any]) -> tuple[httpx.Response, GenerationRequest | None]:
    body: dict[str, Any] = {}
    for part in (CHAT_BODY if path == CHAT_PATH else TEXT_BODY, *parts):
        body |= part
    handler = FakeServerHandler(reasoning_first)
    transport = httpx.ASGITransport(create_app(ServerConfig(), handler.typed))
    client = httpx.AsyncClient(transport=transport, base_url="http://test")
    response = asyncio.run(client.post(path, json=body))
    return response, handler.requests[0] if handler.requests else None


def seen(path: str, *parts: dict[str, Any]) -> tuple[GenerationRequest, str]:
    """What the engine is asked and what the client gets, without ids and times."""
    response, request = send(path, *parts)
    assert response.status_code == 200, response.text
    assert request is not None
    answer = re.sub(r'"(id|created)":("[^"]*"|\d+)', "", response.text)
    return replace(request, request_id="", x_request_id="", arrival_seconds=0.0, client_id=""), answer


@rows_with(Support.HONOURED)
def test_an_honoured_field_changes_the_request_or_the_answer(
    path: str, field: Field, example: Example
) -> None:
    changed = seen(path, example.context, example.changes)
    assert (changed == seen(path, example.context)) is example.is_constant


@rows_with(Support.NO_EFFECT)
def test_a_field_without_effect_is_accepted_and_changes_nothing(
    path: str, field: Field, example: Example
) -> None:
    assert seen(path, example.context, example.changes) == seen(path, example.context)
    assert field.note


@rows_with(Support.REFUSED)
def test_a_refused_field_is_a_400_that_names_it(path: str, field: Field, example: Example) -> None:
    response, request = send(path, example.context, example.changes)
    assert (response.status_code, request) == (400, None)
    error = response.json()["error"]
    assert field.name in error["param"] or error["param"].endswith(".type")
    assert error["code"] in ("unsupported_parameter", "unsupported_value")
    assert field.note


@rows_with(Support.REFUSED)
def test_neutral_values_of_a_refused_field_are_accepted(path: str, field: Field, example: Example) -> None:
    for value in field.neutral:
        assert seen(path, {field.name: value}) == seen(path)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"stale; run: {COMMAND}"
