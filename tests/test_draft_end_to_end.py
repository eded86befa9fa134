"""The program with a draft model, as a user starts it, over real HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.engine.loading.default_model import ensure_default_model
from tests.fakes.program import ROOT, Program

pytestmark = pytest.mark.model
STORY = {"messages": [{"role": "user", "content": "Tell me a long story about a lighthouse."}], "seed": 3}


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    """The default model as its own draft, which is always right and never pays."""
    made = Program.start("--draft-model", str(ensure_default_model(lambda line: None)))
    yield made
    made.kill()


def answer(url: str, **how: Any) -> str:
    body = STORY | {"model": "model", "max_tokens": 24, "ignore_eos": True} | how
    found = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=300).json()
    text: str = found["choices"][0]["message"]["content"]
    return text


def drafted(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{url}/stats").json()["speculation"]["draft_model"]
    return found


def test_it_is_tried_now_and_then_and_is_right(program: Program) -> None:
    url = program.url
    for _ in range(12):
        answer(url, max_tokens=40, temperature=1.0)
        if drafted(url)["proposed_tokens"]:
            break
    assert drafted(url)["proposed_tokens"] > 0
    assert drafted(url)["acceptance_rate"] > 0.8  # a near tie may go either way
    assert any("Draft model: SmolLM2" in line for line in program.lines)
    assert httpx.get(f"{url}/stats").json()["model"]["draft_model"]["weight_bytes"] > 0


def test_greedy_answers_are_those_without_it(program: Program) -> None:
    plain = Program.start()
    try:
        expected = answer(plain.url, temperature=0.0)
    finally:
        plain.kill()
    assert answer(program.url, temperature=0.0) == expected


def test_what_cannot_be_ends_with_one_line_and_code_2() -> None:
    command = [sys.executable, "app.py", "--draft-model", "/nowhere/small"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "no such model: '/nowhere/small'" in ended.stderr
    assert "Traceback" not in ended.stderr + json.dumps(ended.stdout)
