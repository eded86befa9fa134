"""Conversations and shared prompts with the default model over real HTTP: what is cached, counted exactly."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.fakes.program import Program

pytestmark = pytest.mark.model
BLOCK_TOKENS = 32
NUM_TURNS = 20
NUM_CHATS = 32


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    program = Program.start()
    with httpx.Client(base_url=program.url, timeout=300) as client:
        yield client
    program.kill()


def ask(
    http: httpx.Client, messages: list[dict[str, str]], max_tokens: int, key: str = "", **fields: Any
) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    body = {"model": "model", "messages": messages, "max_tokens": max_tokens, "temperature": 0, **fields}
    answer: dict[str, Any] = (
        http.post("/v1/chat/completions", json=body, headers=headers).raise_for_status().json()
    )
    return answer


def num_cached(answer: dict[str, Any]) -> int:
    return int(answer["usage"]["prompt_tokens_details"]["cached_tokens"])


def whole_blocks(num_tokens: int) -> int:
    return num_tokens // BLOCK_TOKENS * BLOCK_TOKENS


def test_every_turn_reads_only_what_is_new(http: httpx.Client) -> None:
    messages = [{"role": "system", "content": "You answer in one short sentence, and you like ships."}]
    num_computed = 0
    for turn in range(NUM_TURNS):
        messages.append({"role": "user", "content": f"Tell me a fact about ship number {turn * 7}."})
        answer = ask(http, messages, max_tokens=8 + turn % 3)
        assert num_cached(answer) == whole_blocks(num_computed)
        choice, usage = answer["choices"][0], answer["usage"]
        # The token that ends an answer is read, for the next turn to find; the last before a limit is not.
        is_cut = choice["finish_reason"] == "length"
        num_computed = usage["prompt_tokens"] + usage["completion_tokens"] - is_cut
        messages.append({"role": "assistant", "content": choice["message"]["content"]})
    assert num_computed > 500


def test_a_stream_reports_what_was_cached_too(http: httpx.Client) -> None:
    messages = [{"role": "user", "content": "A rather long question about lighthouses. " * 20}]
    first = ask(http, messages, max_tokens=1)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    body = {"model": "model", "messages": messages, "max_tokens": 1, "temperature": 0, **options}
    text = http.post("/v1/chat/completions", json=body).text.replace(" ", "")
    assert f'"cached_tokens":{whole_blocks(first["usage"]["prompt_tokens"] - 1)}' in text


def test_another_salt_finds_nothing(http: httpx.Client) -> None:
    messages = [{"role": "user", "content": "A question that two tenants ask in the same words. " * 20}]
    first = ask(http, messages, 1, cache_salt="one")
    assert num_cached(first) == 0
    assert num_cached(ask(http, messages, 1, cache_salt="two")) == 0
    assert num_cached(ask(http, messages, 1, cache_salt="one")) > 160


def test_another_api_key_finds_nothing(http: httpx.Client) -> None:
    messages = [
        {"role": "user", "content": "What two customers ask, and neither is to know of the other. " * 8}
    ]
    assert num_cached(ask(http, messages, 1, key="sk-one")) == 0
    assert num_cached(ask(http, messages, 1, key="EMPTY")) == 0
    assert num_cached(ask(http, messages, 1)) == 0
    for key in ("sk-one", "EMPTY", ""):
        assert num_cached(ask(http, messages, 1, key=key)) >= 96


def test_a_prompt_that_stays_out_of_the_cache_finds_and_leaves_nothing(http: httpx.Client) -> None:
    messages = [{"role": "user", "content": "A question that nobody is to find again, not even I. " * 10}]
    before = http.get("/stats").json()["prefix_cache"]
    for _ in range(2):
        assert num_cached(ask(http, messages, 1, cache_prompt=False)) == 0
    after = http.get("/stats").json()["prefix_cache"]
    assert [after[name] - before[name] for name in ("blocks", "evicted_blocks")] == [0, 0]
    assert num_cached(ask(http, messages, 1)) == 0


def test_a_system_prompt_that_many_share_is_read_once(http: httpx.Client) -> None:
    system = {"role": "system", "content": " ".join(f"Rule {i}: be kind." for i in range(150))}
    before = http.get("/stats").json()

    def chat(number: int) -> dict[str, Any]:
        question = {"role": "user", "content": f"Question {number}: what is rule {number}?"}
        return ask(http, [system, question], max_tokens=2)

    with ThreadPoolExecutor(NUM_CHATS) as pool:
        answers = list(pool.map(chat, range(NUM_CHATS)))
    cached = sorted(num_cached(answer) for answer in answers)
    num_shared = whole_blocks(min(answer["usage"]["prompt_tokens"] for answer in answers) - 20)
    assert num_shared > 900
    assert cached[0] == 0
    assert cached[1] >= num_shared
    after = http.get("/stats").json()
    num_read = after["tokens"]["prompt_total"] - before["tokens"]["prompt_total"]
    assert num_read == sum(answer["usage"]["prompt_tokens"] for answer in answers) - sum(cached)
