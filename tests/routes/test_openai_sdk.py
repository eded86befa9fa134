"""The official client against a real server."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.fakes.live_server import live_server
from tests.fakes.server_handler import FakeServerHandler


@pytest.fixture(scope="module")
def sdk() -> Iterator[openai.OpenAI]:
    with live_server(FakeServerHandler()) as url:
        yield openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)


def test_a_whole_answer(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="model", messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == "Hello ✓"
    assert answer.usage is not None and answer.usage.total_tokens == 10
    assert answer._request_id is not None


def test_a_stream(sdk: openai.OpenAI) -> None:
    chunks = list(
        sdk.chat.completions.create(
            model="model",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Hello ✓"
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 3


def test_models(sdk: openai.OpenAI) -> None:
    assert [model.id for model in sdk.models.list()] == ["org/tiny", "tiny", "model"]
    assert sdk.models.retrieve("org/tiny").id == "org/tiny"


def test_errors_become_the_sdks_exceptions(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.chat.completions.create(model="model", messages=[])
    assert caught.value.param == "messages"
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("gpt-4o")
