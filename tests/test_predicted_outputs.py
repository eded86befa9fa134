"""OpenAI's predicted outputs with the default model, over real HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openai import BadRequestError, OpenAI
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion

from tests.fakes.program import Program

pytestmark = pytest.mark.model
LIST: Any = [{"role": "user", "content": "Count from 1 to 30."}]
NUM_TOKENS = 24


@pytest.fixture(scope="module")
def expected(client: OpenAI) -> str:
    return text_of(ask(client))


def ask(client: OpenAI, **fields: Any) -> ChatCompletion:
    fields = {"temperature": 0, "max_tokens": NUM_TOKENS, **fields}
    answer: ChatCompletion = client.chat.completions.create(model="model", messages=LIST, **fields)
    return answer


def content(text: str | list[dict[str, str]]) -> Any:
    return {"type": "content", "content": text}


def text_of(answer: ChatCompletion) -> str:
    return answer.choices[0].message.content or ""


def predicted(usage: CompletionUsage | None) -> tuple[int, int]:
    """Accepted and rejected."""
    assert usage is not None and usage.completion_tokens_details is not None
    details = usage.completion_tokens_details
    assert details.accepted_prediction_tokens is not None and details.rejected_prediction_tokens is not None
    return details.accepted_prediction_tokens, details.rejected_prediction_tokens


def num_verified(url: str) -> int:
    number: int = httpx.get(f"{url}/stats").json()["batch"]["accepted_tokens"]
    return number


def test_an_answer_as_predicted(client: OpenAI, url: str, expected: str) -> None:
    before = num_verified(url)
    answer = ask(client, prediction=content(expected))
    assert text_of(answer) == expected
    accepted, rejected = predicted(answer.usage)
    assert answer.usage is not None and answer.usage.completion_tokens == NUM_TOKENS
    assert accepted >= NUM_TOKENS - 2 and rejected <= 2  # the cut may go through a word
    assert num_verified(url) > before


def test_an_edited_answer(client: OpenAI, expected: str) -> None:
    words = expected.split(" ")
    middle = len(words) // 2
    text = " ".join([*words[:middle], "and", "something", "old", *words[middle + 1 :]])
    answer = ask(client, prediction=content([{"type": "text", "text": text}]))
    assert text_of(answer) == expected
    accepted, rejected = predicted(answer.usage)
    assert 0 < rejected < NUM_TOKENS / 2 < accepted


def test_a_prediction_of_something_else(client: OpenAI, expected: str) -> None:
    answer = ask(client, prediction=content("Dear Sir or Madam, thank you for your letter."))
    assert text_of(answer) == expected
    accepted, rejected = predicted(answer.usage)
    assert accepted <= 2 and rejected >= 8


def test_without_a_prediction_both_are_zero(client: OpenAI) -> None:
    assert predicted(ask(client).usage) == (0, 0)
    assert predicted(ask(client, prediction=None).usage) == (0, 0)


def test_choices_drawn_with_a_seed_stay_the_same_and_are_counted_together(client: OpenAI) -> None:
    seeded = {"temperature": 0.9, "seed": 3, "n": 2}
    plain = ask(client, **seeded)
    texts = [choice.message.content for choice in plain.choices]
    answer = ask(client, prediction=content(texts[0] or ""), **seeded)
    assert [choice.message.content for choice in answer.choices] == texts
    accepted, rejected = predicted(answer.usage)
    assert 4 * accepted > accepted + rejected  # what was drawn may be cut into other tokens than its text
    assert (accepted + rejected) % 2 == 0  # each choice had the whole prediction


def test_a_stream_ends_with_the_same_numbers(client: OpenAI, expected: str) -> None:
    whole = ask(client, prediction=content(expected))
    options: Any = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(
        client.chat.completions.create(
            model="model",
            messages=LIST,
            temperature=0,
            max_tokens=NUM_TOKENS,
            prediction=content(expected),
            **options,
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == expected
    assert predicted(chunks[-1].usage) == predicted(whole.usage)


@pytest.mark.parametrize(
    "fields",
    [
        {"frequency_penalty": 0.5},
        {"response_format": {"type": "json_object"}},
        {"stop": ["7"], "logprobs": True},
        {"temperature": 0.7, "seed": 4, "top_p": 0.9},
    ],
)
def test_beside_other_fields_the_answer_is_theirs(client: OpenAI, fields: dict[str, Any]) -> None:
    plain = ask(client, **fields)
    answer = ask(client, prediction=content(text_of(plain)), **fields)
    assert text_of(answer) == text_of(plain)
    assert answer.choices[0].finish_reason == plain.choices[0].finish_reason
    accepted, _ = predicted(answer.usage)
    assert plain.usage is not None and answer.usage is not None
    assert answer.usage.completion_tokens == plain.usage.completion_tokens
    assert accepted <= plain.usage.completion_tokens


def test_more_than_the_context_is_refused(client: OpenAI) -> None:
    for text in ("a b " * 5000, "word " * 200_000):
        with pytest.raises(BadRequestError) as caught:
            ask(client, prediction=content(text))
        assert caught.value.param == "prediction.content"


def test_without_speculation_text_and_numbers_are_the_same(client: OpenAI, expected: str) -> None:
    program = Program.start("--speculation", "off")
    try:
        plain = OpenAI(base_url=f"{program.url}/v1", api_key="none", max_retries=0)
        for text in (expected, expected[10:]):
            one, other = (ask(each, prediction=content(text)) for each in (client, plain))
            assert text_of(one) == text_of(other) == expected
            assert predicted(one.usage) == predicted(other.usage)
    finally:
        program.kill()
