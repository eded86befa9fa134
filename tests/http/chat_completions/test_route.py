from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import structlog

from api.errors import (
    ApiError,
    ContextLengthError,
    NotServingError,
    OutOfMemoryError,
    QueueFullError,
    ServerSideError,
)
from api.server_handler import Health
from tests.fakes.server_handler import FakeServerHandler, failing, hanging, silent
from tests.http.conftest import ClientFactory

CHAT = "/v1/chat/completions"
BODY = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}


def post(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return asyncio.run(client.post(CHAT, json=BODY | fields))


def post_raw(client: httpx.AsyncClient, content: Any, content_type: str | None = None) -> httpx.Response:
    headers = {"content-type": content_type} if content_type else {}
    return asyncio.run(client.post(CHAT, content=content, headers=headers))


def assert_error(response: httpx.Response, status: int, code: str, param: str | None = None) -> None:
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert error["message"]
    assert response.headers["x-request-id"]


def data_lines(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]


def test_a_whole_answer(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    response = post(client)
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"] == "Hello ✓"
    assert response.json()["model"] == "tiny"
    assert response.json()["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    assert response.json()["id"] == handler.requests[0].request_id
    assert handler.cancelled == []


def test_a_stream(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    response = post(client, stream=True, stream_options={"include_usage": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *chunks, done = data_lines(response.text)
    assert done == "[DONE]"
    parsed = [orjson.loads(chunk) for chunk in chunks]
    text = "".join(each["choices"][0]["delta"].get("content", "") for each in parsed if each["choices"])
    assert text == "Hello ✓"
    assert parsed[-1]["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    assert handler.cancelled == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_fails_first_has_an_error_status(
    client: httpx.AsyncClient, handler: FakeServerHandler, stream: bool
) -> None:
    handler.script = failing(ContextLengthError("too long", param="messages"))
    assert_error(post(client, stream=stream), 400, "context_length_exceeded", "messages")


def test_a_bad_streamed_request_is_plain_json(client: httpx.AsyncClient) -> None:
    response = post(client, stream=True, stop=5)
    assert_error(response, 400, "invalid_type", "stop")
    assert response.headers["content-type"] == "application/json"


def test_choices_of_a_stream(client: httpx.AsyncClient) -> None:
    *chunks, _ = data_lines(post(client, stream=True, n=2).text)
    texts = {0: "", 1: ""}
    for choice in (choice for chunk in chunks for choice in orjson.loads(chunk)["choices"]):
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == {0: "Hello ✓", 1: "Hello ✓"}


def test_a_failure_in_mid_stream_is_an_event_and_ends_it(
    client: httpx.AsyncClient, handler: FakeServerHandler
) -> None:
    handler.script = failing(OutOfMemoryError("no room"), before=hanging)
    *_, error, done = data_lines(post(client, stream=True).text)
    assert orjson.loads(error)["error"]["code"] == "out_of_kv_memory"
    assert done == "[DONE]"


def test_a_failure_of_a_whole_answer(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    handler.script = failing(ServerSideError("broken"), before=hanging)
    assert_error(post(client), 500, "internal_error")


def test_a_full_queue_says_when_to_come_back(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    handler.refusal = QueueFullError("full")
    response = post(client)
    assert_error(response, 429, "rate_limit_exceeded")
    assert response.headers["retry-after"] == "5"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("error", [OutOfMemoryError("full"), NotServingError("ending")])
def test_a_request_that_fails_for_now_says_when_to_come_back(
    client: httpx.AsyncClient, handler: FakeServerHandler, stream: bool, error: ApiError
) -> None:
    handler.script = failing(error)
    response = post(client, stream=stream)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize("status", ["loading", "draining", "dead"])
def test_no_request_is_taken_unless_serving(
    client: httpx.AsyncClient, handler: FakeServerHandler, status: Any
) -> None:
    handler.health = Health(status, "why")
    response = post(client)
    assert_error(response, 503, "service_unavailable")
    assert response.headers["retry-after"] == "5"
    assert handler.requests == []
    assert handler.refused_codes == ["service_unavailable"]


def test_a_bug_is_answered_and_hidden(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    handler.bug = RuntimeError("secret")
    with structlog.testing.capture_logs() as records:
        response = post(client)
    assert_error(response, 500, "internal_error")
    assert "secret" not in response.text
    assert [each["log_level"] for each in records if each.get("exc_info")] == ["error"]


def test_bad_fields_name_themselves(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    assert_error(post(client, stop=5), 400, "invalid_type", "stop")
    assert_error(post(client, logit_bias={"999999999": 1}), 400, "invalid_value", "logit_bias")
    assert_error(post(client, web_search_options={}), 400, "unsupported_parameter", "web_search_options")
    assert_error(post(client, model="gpt-4o"), 404, "model_not_found", "model")
    assert_error(post(client, messages=[]), 400, "invalid_value", "messages")
    assert handler.requests == []


def test_bad_bodies(client: httpx.AsyncClient) -> None:
    assert_error(post_raw(client, b"{"), 400, "invalid_json")
    assert_error(post_raw(client, b""), 400, "invalid_json")
    assert_error(post_raw(client, b"[]", "application/json"), 400, "invalid_type")


def test_content_types(client: httpx.AsyncClient) -> None:
    content = orjson.dumps(BODY)
    assert_error(
        post_raw(client, content, "application/x-www-form-urlencoded"), 415, "unsupported_media_type"
    )
    assert_error(post_raw(client, content, "text/plain"), 415, "unsupported_media_type")
    assert post_raw(client, content, "application/json; charset=utf-8").status_code == 200
    assert post_raw(client, content).status_code == 200


def test_the_size_limit_holds_with_and_without_a_declared_length(client_for: ClientFactory) -> None:
    num_sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal num_sent
        while True:
            num_sent += 1
            yield b" " * 500

    client = client_for(max_body_bytes=1000)
    assert_error(post_raw(client, b" " * 1001), 413, "request_too_large")
    assert_error(post_raw(client, endless()), 413, "request_too_large")
    assert num_sent < 10


@pytest.mark.parametrize("script", [hanging, silent])
def test_a_whole_answer_that_takes_too_long(
    client_for: ClientFactory, handler: FakeServerHandler, script: Any
) -> None:
    handler.script = script
    assert_error(post(client_for(request_timeout_seconds=0.05)), 504, "request_timeout")
    assert handler.cancelled == [handler.requests[0].request_id]


def test_a_stream_that_takes_too_long(client_for: ClientFactory, handler: FakeServerHandler) -> None:
    handler.script = hanging
    *_, error, done = data_lines(post(client_for(request_timeout_seconds=0.05), stream=True).text)
    assert orjson.loads(error)["error"]["code"] == "request_timeout"
    assert done == "[DONE]"
    assert handler.cancelled == [handler.requests[0].request_id]


def test_silence_is_filled_with_comments(client_for: ClientFactory, handler: FakeServerHandler) -> None:
    handler.script = silent
    client = client_for(request_timeout_seconds=0.2, keep_alive_seconds=0.02)
    assert 2 <= post(client, stream=True).text.count(": keep-alive\n\n") <= 10


def test_unknown_fields_are_logged_once(client: httpx.AsyncClient) -> None:
    message = {"role": "user", "content": "hi", "colour": "red"}

    async def twice() -> None:
        for _ in range(2):
            known = {"keep_alive": -1, "mirostat": 0, "repeat_last_n": 64}
            body = BODY | known | {"tempratur": 1, "messages": [message, message]}
            assert (await client.post(CHAT, json=body)).status_code == 200

    with structlog.testing.capture_logs() as records:
        asyncio.run(twice())
    assert [each["field"] for each in records if each["log_level"] == "warning"] == [
        "tempratur",
        "messages[].colour",
    ]


def test_refusals_are_recorded(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    post(client, stop=5)
    assert handler.refused_codes == ["invalid_type"]
