"""The program as a user starts it, with the default model, over real HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from openai import BadRequestError, OpenAI

from tests.fakes.live_server import wait_until
from tests.fakes.program import ROOT, Program

pytestmark = pytest.mark.model
QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
STORY: Any = [{"role": "user", "content": "Tell me a long story about a lighthouse."}]


def stats(url: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{url}/stats").json()
    return answer


def is_idle(url: str) -> bool:
    now = stats(url)
    return (
        now["requests"]["live"] == now["batch"]["running"] == now["batch"]["queued"] == 0
        and now["kv_memory"]["used_bytes"] == now["kv_memory"]["reserved_bytes"] == 0
    )


def test_the_readmes_requests(url: str) -> None:
    messages = [{"role": "user", "content": "Hello, how are you?"}]
    body = {"model": "model", "messages": messages, "max_tokens": 9}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).json()
    assert answer["object"] == "chat.completion"
    assert answer["usage"]["completion_tokens"] <= 9
    assert answer["choices"][0]["message"]["content"]
    names = {model["id"] for model in httpx.get(f"{url}/v1/models").json()["data"]}
    assert "model" in names
    assert httpx.get(f"{url}/health").json()["status"] == "ok"
    assert stats(url)["uptime_seconds"] > 0


def test_whole_and_streamed_answers_agree(client: OpenAI) -> None:
    options: dict[str, Any] = {"model": "model", "messages": QUESTION, "temperature": 0, "max_tokens": 24}
    whole = client.chat.completions.create(**options)
    streamed = options | {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(**streamed))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert "Paris" in text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None and whole.usage is not None
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


def test_a_seeded_answer_is_the_same_alone_and_among_others(client: OpenAI) -> None:
    def ask(seed: int) -> str | None:
        answer = client.chat.completions.create(
            model="model", messages=STORY, max_tokens=16, seed=seed, top_p=0.9, temperature=0.8
        )
        return answer.choices[0].message.content

    alone = ask(7)
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(ask, [7, *range(100, 111)]))
    assert together[0] == alone
    assert len(set(together)) > 6


def test_a_stop_string_neither_leaks_nor_costs_a_row(client: OpenAI, url: str) -> None:
    answer = client.chat.completions.create(
        model="model", messages=QUESTION, temperature=0, max_tokens=200, stop=[" of France"]
    )
    assert answer.choices[0].message.content == "The capital"
    assert answer.choices[0].finish_reason == "stop"
    wait_until(lambda: is_idle(url))


def test_clients_that_leave_free_their_rows(url: str) -> None:
    body = {"model": "model", "messages": STORY, "max_tokens": 2000}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/v1/chat/completions", json=body, timeout=1.0)
    body |= {"stream": True}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=30) as answer:
        lines = answer.iter_lines()
        for _ in range(5):
            next(lines)
    wait_until(lambda: is_idle(url), 5)


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"stop": 5}, 400, "stop"),
        ({"logit_bias": {"999999999": 1}}, 400, "logit_bias"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "messages[0].role"),
        ({"temperature": 1e300}, 400, "temperature"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"max_tokens": -1}, 400, "max_tokens"),
        ({"max_tokens": 10**30}, 400, "max_tokens"),
        ({"n": 129}, 400, "n"),
        ({"top_logprobs": 2}, 400, "top_logprobs"),
        ({"modalities": ["audio"]}, 400, "modalities"),
        ({"response_format": {"type": "xml"}}, 400, "response_format.type"),
        ({"model": "gpt-9"}, 404, "model"),
    ],
)
def test_bad_input_is_refused_by_name(url: str, change: dict[str, Any], status: int, param: str) -> None:
    body = {"model": "model", "messages": QUESTION} | change
    answer = httpx.post(f"{url}/v1/chat/completions", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param)
    assert set(error) == {"message", "type", "param", "code"}


def test_a_prompt_beyond_the_context_is_refused_before_any_work(client: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "lighthouse " * 20_000}]
    with pytest.raises(BadRequestError) as refusal:
        client.chat.completions.create(model="model", messages=messages)
    assert refusal.value.code == "context_length_exceeded"


def test_the_end_to_end_check_passes(url: str) -> None:
    command = [sys.executable, "test_api.py", "--url", url]
    report = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert report.returncode == 0, report.stdout + report.stderr


def test_a_signal_lets_running_answers_finish() -> None:
    program = Program.start("--drain-seconds", "60")
    body = {"model": "model", "messages": STORY, "max_tokens": 40, "stream": True}
    with httpx.stream("POST", f"{program.url}/v1/chat/completions", json=body, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        program.process.send_signal(signal.SIGTERM)
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    assert json.loads(data[-2])["choices"][0]["finish_reason"] in ("length", "stop")
    assert program.wait() == 0


def test_what_cannot_start_says_so_in_one_line() -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "app.py", "/no/such/model", "--port", "0"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("error: ")
    assert "/no/such/model" in run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr
