"""Scoring of texts over HTTP, with the very requests and the parsing of lm-evaluation-harness."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.model

CONTEXT = "Question: What is the capital of France?\nAnswer:"
OPEN = "The capital of France is"  # the model goes on from here
CHOICES = (" Paris", " London", " a banana made of stone")


def post(url: str, **fields: Any) -> dict[str, Any]:
    response = httpx.post(f"{url}/v1/completions", json={"model": "model", **fields}, timeout=120)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def tokenize(url: str, text: str) -> list[int]:
    answer = httpx.post(f"{url}/tokenize", json={"prompt": text}).json()
    token_ids: list[int] = answer["tokens"]
    return token_ids


def loglikelihood_body(prompts: Any) -> dict[str, Any]:
    """What the harness's ``local-completions`` sends for requests of the kind loglikelihood."""
    return {"prompt": prompts, "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}


def parse_logprobs(answer: dict[str, Any], context_lengths: list[int]) -> list[tuple[float, bool]]:
    """As the harness reads it: all after the context, but the one token that was generated."""
    parsed = []
    choices = sorted(answer["choices"], key=itemgetter("index"))
    for choice, length in zip(choices, context_lengths, strict=True):
        own = choice["logprobs"]["token_logprobs"][length:-1]
        top = choice["logprobs"]["top_logprobs"][length:-1]
        is_greedy = all(logprob == max(best.values()) for logprob, best in zip(own, top, strict=True))
        parsed.append((sum(own), is_greedy))
    return parsed


def test_the_likeliest_continuation_is_found(url: str) -> None:
    context = tokenize(url, CONTEXT)
    prompts = [context + tokenize(url, choice) for choice in CHOICES]
    answer = post(url, **loglikelihood_body(prompts))
    for choice, prompt in zip(answer["choices"], prompts, strict=True):
        assert len(choice["logprobs"]["tokens"]) == len(prompt) + 1
    scores = [score for score, _ in parse_logprobs(answer, [len(context)] * len(prompts))]
    assert scores[0] == max(scores) and scores[2] == min(scores)
    assert answer["usage"]["prompt_tokens"] == sum(map(len, prompts))


def test_a_text_is_scored_as_it_was_written(url: str) -> None:
    """The logprobs of a greedy answer, and those of the same tokens as a prompt."""
    context = tokenize(url, OPEN)
    written = post(url, prompt=context, temperature=0, max_tokens=8, logprobs=1)["choices"][0]
    continuation = tokenize(url, OPEN + written["text"])[len(context) :]
    answer = post(url, **loglikelihood_body(context + continuation))
    ((score, is_greedy),) = parse_logprobs(answer, [len(context)])
    assert score == pytest.approx(sum(written["logprobs"]["token_logprobs"]), abs=1e-3)
    assert is_greedy


def test_a_text_has_its_tokens_where_the_offsets_say(url: str) -> None:
    (choice,) = post(url, prompt=OPEN, max_tokens=3, temperature=0, logprobs=0, echo=True)["choices"]
    logprobs, text = choice["logprobs"], choice["text"]
    assert text.startswith(OPEN) and len(text) > len(OPEN)
    assert "".join(logprobs["tokens"]) == text
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
        assert text[offset : offset + len(token)] == token
    assert logprobs["token_logprobs"][0] is logprobs["top_logprobs"][0] is None
    assert all(best is not None and len(best) == 1 for best in logprobs["top_logprobs"][1:])


@pytest.mark.parametrize("echo", [False, True])
def test_no_tokens_at_all(url: str, echo: bool) -> None:
    answer = post(url, prompt="Hello world", max_tokens=0, echo=echo, logprobs=1)
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("Hello world" if echo else "", "length")
    assert choice["logprobs"]["tokens"] == (["Hello", " world"] if echo else [])
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (2, 0)


def test_an_end_of_sequence_counts_as_the_generated_token(url: str) -> None:
    """Else the harness would take the prompt's last token for it."""
    body = loglikelihood_body(CONTEXT) | {"logit_bias": {"2": 100}}  # <|im_end|> of the default model
    (choice,) = post(url, **body)["choices"]
    assert choice["finish_reason"] == "stop" and choice["text"] == CONTEXT
    assert len(choice["logprobs"]["tokens"]) == len(tokenize(url, CONTEXT)) + 1
    assert choice["logprobs"]["text_offset"][-1] == len(CONTEXT)


def test_each_choice_has_the_prompt_once(url: str) -> None:
    answer = post(url, prompt=CONTEXT, n=3, max_tokens=2, logprobs=1, echo=True, seed=1)
    num_tokens = len(tokenize(url, CONTEXT))
    for choice in answer["choices"]:
        assert choice["text"].startswith(CONTEXT) and choice["text"].count(CONTEXT) == 1
        first = answer["choices"][0]["logprobs"]["token_logprobs"][1:num_tokens]
        assert choice["logprobs"]["token_logprobs"][1:num_tokens] == pytest.approx(first, abs=1e-3)
    assert answer["usage"]["prompt_tokens"] == num_tokens


def test_a_stream_has_the_same(url: str) -> None:
    body = {"prompt": CONTEXT * 40, "max_tokens": 3, "temperature": 0, "logprobs": 2, "echo": True}
    whole = post(url, **body)["choices"][0]
    response = httpx.post(
        f"{url}/v1/completions", json={"model": "model", **body, "stream": True}, timeout=120
    )
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    choices = [json.loads(line)["choices"][0] for line in lines[:-1]]
    assert "".join(choice["text"] for choice in choices) == whole["text"]
    parts = [choice["logprobs"] for choice in choices if choice["logprobs"]]
    for column in ("tokens", "text_offset"):
        assert [each for part in parts for each in part[column]] == whole["logprobs"][column]
    streamed = [each for part in parts for each in part["token_logprobs"]]
    assert streamed[1:] == pytest.approx(whole["logprobs"]["token_logprobs"][1:], abs=1e-3)


@pytest.mark.parametrize("prompt", [None, ""])
def test_nothing_to_begin_with(url: str, prompt: str | None) -> None:
    answer = post(url, prompt=prompt, max_tokens=2, echo=True, logprobs=1)
    assert answer["usage"]["prompt_tokens"] == 1
    logprobs = answer["choices"][0]["logprobs"]
    assert (logprobs["token_logprobs"][0], logprobs["text_offset"][:2]) == (None, [0, 0])


def test_what_the_harness_sends_to_generate(url: str) -> None:
    stop = ["\n", "<|im_end|>"]
    answer = post(url, prompt=[OPEN], max_tokens=16, temperature=0, stop=stop, seed=1234)
    assert "Paris" in answer["choices"][0]["text"] and "\n" not in answer["choices"][0]["text"]


def test_a_chats_prompt_in_vllms_words(url: str) -> None:
    body = {"model": "model", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    answer = httpx.post(f"{url}/v1/chat/completions", json={**body, "prompt_logprobs": 1}, timeout=60).json()
    first, *others = answer["prompt_logprobs"]
    assert first is None and len(others) == answer["usage"]["prompt_tokens"] - 1
    assert all(1 <= len(each) <= 2 and 1 in {entry["rank"] for entry in each.values()} for each in others)
    plain = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).json()
    assert "prompt_logprobs" not in plain
