from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson
import pytest

from api.errors import ContextLengthError
from api.types import TextPrompts
from tests.fakes.server_handler import FakeServerHandler, failing, silent
from tests.http.conftest import ClientFactory


def post(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return asyncio.run(client.post("/v1/completions", json={"model": "tiny", "prompt": "hi", **fields}))


def test_a_whole_answer(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    answer = post(client, prompt=["a", "b"], n=2).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert {choice["text"] for choice in answer["choices"]} == {"Hello ✓"}
    assert answer["id"] == handler.requests[0].request_id
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    assert handler.requests[0].prompt == TextPrompts(("a", "b"))


def test_a_stream(client: httpx.AsyncClient) -> None:
    text = post(client, stream=True, logprobs=1, stream_options={"include_usage": True}).text
    *chunks, done = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert done == "[DONE]"
    parsed = [orjson.loads(chunk) for chunk in chunks]
    assert "".join(each["choices"][0]["text"] for each in parsed if each["choices"]) == "Hello ✓"
    assert parsed[1]["choices"][0]["logprobs"]["text_offset"] == [3]
    assert parsed[-1]["usage"]["total_tokens"] == 10
    assert parsed[-1]["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}


def test_a_stream_without_text_yet_is_silent_until_a_sign_of_life_is_due(
    client_for: ClientFactory, handler: FakeServerHandler
) -> None:
    handler.script = silent
    text = post(client_for(request_timeout_seconds=0.1, keep_alive_seconds=5), stream=True).text
    assert text.startswith("data: ")
    assert "request_timeout" in text


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_before_any_text_has_an_error_status(
    client: httpx.AsyncClient, handler: FakeServerHandler, stream: bool
) -> None:
    handler.script = failing(ContextLengthError("too long", param="prompt"))
    response = post(client, stream=stream)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "prompt")


def test_refusals_are_recorded(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    assert post(client, suffix="x").status_code == 400
    assert handler.refused_codes == ["unsupported_parameter"]
