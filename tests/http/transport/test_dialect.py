"""A third dialect, made here: it needs a router and a place in ROUTE_MODULES, and nothing else changes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
import pytest
from fastapi import APIRouter, Request, Response
from typing_extensions import TypedDict

import app
from api.config import ServerConfig
from api.errors import ApiError, OutOfMemoryError, QueueFullError
from api.events import Accepted, Failed, Finished, OutputDelta, TextEvent, Usage
from api.http.fields.generation import to_request
from api.http.fields.generation_shape import GenerationFields
from api.http.fields.model_names import check_model_name
from api.http.fields.validation import validate_body
from api.http.transport.context import context_of
from api.http.transport.description import BODY_STATUSES, describe
from api.http.transport.dialect import Dialect, DialectRoute
from api.http.transport.generation import stream_answer, whole_answer
from api.http.transport.request_body import accept_body
from api.server_handler import ServedModel
from api.types import GenerationRequest, TextPrompts
from tests.fakes.server_handler import FakeServerHandler, Script, failing, hanging, hello, silent

PATH = "/v1/letters"
BODY = {"model": "tiny", "question": "hi"}


class Letter(GenerationFields):
    question: str

    @property
    def num_top_logprobs(self) -> int | None:
        return None


class Reply(TypedDict):
    type: str
    text: str
    num_tokens: int


class Trouble(TypedDict):
    type: str
    what: str


class LetterEvent(TypedDict):
    type: str
    text: str


def trouble(error: ApiError) -> Trouble:
    return {"type": "error", "what": f"{error.type}: {error.message}"}


LETTERS = Dialect(
    trouble,
    Trouble,
    names_events=True,
    keep_alive_frame=b'event: ping\ndata: {"type":"ping"}\n\n',
    request_id_headers=("x-request-id", "request-id"),
)


class LetterRoute(DialectRoute):
    dialect = LETTERS


class LetterWriter:
    """Numbers what it writes, as dialects do whose objects belong to each other."""

    def __init__(self) -> None:
        self._num_written = 0

    def feed(self, event: TextEvent) -> list[Any]:
        match event:
            case OutputDelta(piece=piece):
                return [self._numbered({"type": "text", "text": piece.content})]
            case Finished():
                return [self._numbered({"type": "end"})]
            case Failed(error=error):
                return [self._numbered(dict(trouble(error)))]
            case Accepted():
                return [self._numbered({"type": "begin"})]
        return []

    def _numbered(self, payload: dict[str, Any]) -> dict[str, Any]:
        self._num_written += 1
        return payload | {"number": self._num_written}


class LetterCollector:
    def __init__(self) -> None:
        self._text = ""

    def feed(self, event: TextEvent) -> None:
        if isinstance(event, OutputDelta):
            self._text += event.piece.content

    def answer(self, usage: Usage) -> Reply:
        return {"type": "reply", "text": self._text, "num_tokens": usage.num_completion_tokens}


def parse_letter(data: object, served: ServedModel, accept_any_model: bool) -> Letter:
    body = validate_body(Letter, data)
    check_model_name(body.model, served, accept_any_model)
    return body


def to_generation_request(body: Letter, served: ServedModel) -> GenerationRequest:
    return to_request(body, served, "letter", TextPrompts((body.question,)), None)


router = APIRouter(route_class=LetterRoute)
DESCRIPTION = describe(
    "Answer a letter", body=Letter, answer=Reply, events=(LetterEvent, Trouble), refusals=BODY_STATUSES
)


@router.post(PATH, **DESCRIPTION)
async def create_letter(request: Request) -> Response:
    http = context_of(request)
    body, generation = await accept_body(request, http, parse_letter, to_generation_request)
    if body.stream:
        return await stream_answer(request, http, generation, LetterWriter())
    return await whole_answer(request, http, generation, LetterCollector())


@pytest.fixture
def client(handler: FakeServerHandler, monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    modules = (*app.ROUTE_MODULES, SimpleNamespace(router=router))
    monkeypatch.setattr(app, "ROUTE_MODULES", modules)
    config = ServerConfig(request_timeout_seconds=0.2, keep_alive_seconds=0.05, cors_origins=("*",))
    transport = httpx.ASGITransport(app.create_app(config, handler.typed))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def send(client: httpx.AsyncClient, method: str, path: str, **arguments: Any) -> httpx.Response:
    return asyncio.run(client.request(method, path, **arguments))


def post(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return send(client, "POST", PATH, json=BODY | fields)


def events_of(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    """Names and objects."""
    assert response.headers["content-type"].startswith("text/event-stream")
    pairs = [frame.split("\n") for frame in response.text.removesuffix("\n\n").split("\n\n")]
    return [(name.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))) for name, data in pairs]


def test_a_whole_answer(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    response = post(client)
    assert response.json() == {"type": "reply", "text": "Hello ✓", "num_tokens": 3}
    assert response.headers["request-id"] == response.headers["x-request-id"]
    assert handler.requests[0].prompt == TextPrompts(("hi",))


def test_a_stream_has_named_events_and_no_mark_at_its_end(client: httpx.AsyncClient) -> None:
    response = post(client, stream=True)
    events = events_of(response)
    assert [name for name, _ in events] == ["begin", "text", "text", "end"]
    assert all(name == payload["type"] for name, payload in events)
    assert [payload["number"] for _, payload in events] == [1, 2, 3, 4]
    assert "[DONE]" not in response.text
    assert response.headers["request-id"] == response.headers["x-request-id"]


def test_a_failure_in_mid_stream_is_the_writers(
    client: httpx.AsyncClient, handler: FakeServerHandler
) -> None:
    handler.script = failing(OutOfMemoryError("no room"), before=hanging)
    *_, last = events_of(post(client, stream=True))
    assert last == ("error", {"type": "error", "what": "server_error: no room", "number": 4})


@pytest.mark.parametrize("script", [silent, hanging])
def test_silence_and_the_end_of_patience(
    client: httpx.AsyncClient, handler: FakeServerHandler, script: Script
) -> None:
    handler.script = script
    events = events_of(post(client, stream=True))
    assert ("ping", {"type": "ping"}) in events
    name, payload = events[-1]
    assert (name, payload["what"]) == ("error", "server_error: The request took longer than 0.2 s.")


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_of_the_engine(client: httpx.AsyncClient, handler: FakeServerHandler, stream: bool) -> None:
    handler.script = failing(OutOfMemoryError("no room"))
    response = post(client, stream=stream)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json() == {"type": "error", "what": "server_error: no room"}


def test_a_refusal_of_the_queue(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    handler.refusal = QueueFullError("full")
    response = post(client)
    assert (response.status_code, response.headers["retry-after"]) == (429, "5")
    assert response.json() == {"type": "error", "what": "rate_limit_error: full"}


@pytest.mark.parametrize(
    ("arguments", "status", "what"),
    [
        ({"content": b"{"}, 400, "not valid JSON"),
        ({"json": BODY | {"question": 5}}, 400, "Invalid 'question'"),
        ({"json": BODY | {"model": "gpt-4o"}}, 404, "does not exist"),
        ({"content": b"a=1", "headers": {"content-type": "text/plain"}}, 415, "'text/plain'"),
    ],
)
def test_a_body_that_is_refused(
    client: httpx.AsyncClient, arguments: dict[str, Any], status: int, what: str
) -> None:
    response = send(client, "POST", PATH, **arguments)
    assert (response.status_code, set(response.json())) == (status, {"type", "what"})
    assert what in response.json()["what"]
    assert response.headers["request-id"]


def test_a_wrong_method_is_refused_in_the_words_of_the_route(client: httpx.AsyncClient) -> None:
    response = send(client, "GET", PATH)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["what"] == f"invalid_request_error: Method not allowed: GET {PATH}."


def test_a_bug_is_answered_in_the_words_of_the_route(
    client: httpx.AsyncClient, handler: FakeServerHandler
) -> None:
    handler.bug = RuntimeError("secret")
    response = post(client)
    assert (response.status_code, response.headers["request-id"]) == (500, response.headers["x-request-id"])
    assert response.json() == {"type": "error", "what": "server_error: The server met an unexpected error."}


def test_what_is_refused_before_a_route_is_asked_is_said_in_its_words_too(
    handler: FakeServerHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "ROUTE_MODULES", (*app.ROUTE_MODULES, SimpleNamespace(router=router)))
    guarded = app.create_app(ServerConfig(api_key_hashes=("0" * 64,)), handler.typed)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://test")
    no_key, foreign = post(client), send(client, "POST", PATH, headers={"origin": "http://a.example"})
    assert (no_key.status_code, foreign.status_code) == (401, 403)
    for response in (no_key, foreign):
        assert response.json()["what"].startswith("invalid_request_error: ")
        assert response.headers["request-id"] == response.headers["x-request-id"]
    assert set(send(client, "POST", "/v1/completions").json()) == {"error"}


def test_elsewhere_nothing_changes(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    unknown = send(client, "POST", f"{PATH}/nobody", json=BODY)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    assert "request-id" not in unknown.headers
    handler.script = hello
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    assert send(client, "POST", "/v1/chat/completions", json=chat).text.endswith("data: [DONE]\n\n")


def test_browsers_may_see_its_headers(client: httpx.AsyncClient) -> None:
    response = send(client, "POST", PATH, json=BODY, headers={"origin": "http://a.example"})
    exposed = response.headers["access-control-expose-headers"].split(", ")
    assert exposed == ["x-request-id", "request-id", "retry-after"]


def test_it_is_described_in_its_own_shapes(client: httpx.AsyncClient) -> None:
    assert f"POST {PATH}" in send(client, "GET", "/").json()["endpoints"]
    responses = send(client, "GET", "/openapi.json").json()["paths"][PATH]["post"]["responses"]
    refused = {each["content"]["application/json"]["schema"]["$ref"] for each in responses.values()}
    assert refused == {"#/components/schemas/Reply", "#/components/schemas/Trouble"}
    event = responses["200"]["content"]["text/event-stream"]["schema"]
    assert event["required"] == ["event", "data"]
    assert event["properties"]["data"]["contentSchema"]["anyOf"] == [
        {"$ref": "#/components/schemas/LetterEvent"},
        {"$ref": "#/components/schemas/Trouble"},
    ]
