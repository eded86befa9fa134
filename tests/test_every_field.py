"""Requests that each ask for something else share the batch, and each gets what it gets alone."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.model

SEEDED = {"temperature": 0.8, "seed": 11}
GREEDY = {"temperature": 0}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 6}, "age": {"type": "integer", "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "add_person", "parameters": SCHEMA}}
NAMED = {"type": "function", "function": {"name": "add_person"}}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}

# Another mix each; every field that changes an answer is in some of them, alone and with others.
MIXES: list[dict[str, Any]] = [
    GREEDY,
    SEEDED,
    {**SEEDED, "top_p": 0.7},
    {**SEEDED, "top_k": 20},
    {**SEEDED, "min_p": 0.05},
    {**SEEDED, "top_p": 0.9, "top_k": 50, "min_p": 0.01},
    {**GREEDY, "frequency_penalty": 1.5},
    {**GREEDY, "presence_penalty": -1.0},
    {**GREEDY, "repetition_penalty": 1.3},
    {**SEEDED, "frequency_penalty": 0.5, "presence_penalty": 0.5, "repetition_penalty": 1.1},
    {**GREEDY, "logit_bias": {"260": 4, "28": -100}},
    {**SEEDED, "logit_bias": {"260": -100}, "top_p": 0.8},
    {**GREEDY, "logprobs": True, "top_logprobs": 5},
    {**GREEDY, "logprobs": True},
    {**SEEDED, "logprobs": True, "top_logprobs": 2, "frequency_penalty": 1.0},
    {**SEEDED, "n": 3},
    {**GREEDY, "n": 2, "logprobs": True},
    {**GREEDY, "stop": ["e"]},
    {**SEEDED, "stop": ["a", "the"], "n": 2},
    {**GREEDY, "stop": [" "], "include_stop_str_in_output": True},
    {**GREEDY, "min_tokens": 12, "stop_token_ids": [28]},
    {**GREEDY, "stop_token_ids": [28, 30]},
    {**GREEDY, "ignore_eos": True},
    {**GREEDY, "response_format": JSON_SCHEMA, "max_tokens": 40},
    {**SEEDED, "response_format": JSON_SCHEMA, "max_tokens": 40, "logprobs": True, "n": 2},
    {**SEEDED, "response_format": {"type": "json_object"}, "frequency_penalty": 0.5},
    {**GREEDY, "structured_outputs": {"choice": ["red", "green", "blue"]}},
    {**GREEDY, "structured_outputs": {"regex": "[0-9]{3}-[0-9]{4}"}, "logprobs": True},
    {**GREEDY, "tools": [TOOL], "tool_choice": NAMED, "max_tokens": 40},
    {**SEEDED, "tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 40},
    {**GREEDY, "tools": [TOOL]},
    {**SEEDED, "response_format": JSON_SCHEMA, "stop": ["}"], "presence_penalty": 0.3, "max_tokens": 40},
]


def create_body(index: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Write one sentence about the number {index}."}]
    return {"model": "model", "messages": messages, "max_tokens": 12, **MIXES[index]}


def ask(url: str, body: dict[str, Any]) -> dict[str, Any]:
    response = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=300)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def comparable(answer: dict[str, Any]) -> list[Any]:
    """An answer without what differs from one time to the next: the ids of its calls, float noise, and what
    was cached."""
    choices = json.loads(json.dumps(answer["choices"]))
    for choice in choices:
        for call in choice["message"].get("tool_calls", ()):
            del call["id"]
        choice["logprobs"] = None
    usage = {name: value for name, value in answer["usage"].items() if name != "prompt_tokens_details"}
    return [choices, usage]


def logprobs_of(answer: dict[str, Any]) -> list[tuple[str, float]]:
    tokens = [t for c in answer["choices"] for t in (c["logprobs"] or {"content": []})["content"]]
    return [(token["token"], token["logprob"]) for token in tokens]


def test_each_request_gets_among_31_others_what_it_gets_alone(url: str) -> None:
    assert len(MIXES) == 32
    bodies = [create_body(index) for index in range(len(MIXES))]
    alone = [ask(url, body) for body in bodies]
    with ThreadPoolExecutor(len(bodies)) as pool:
        together = list(pool.map(lambda body: ask(url, body), bodies))
    for mix, one, other in zip(MIXES, alone, together, strict=True):
        assert comparable(one) == comparable(other), mix
        pairs = zip(logprobs_of(one), logprobs_of(other), strict=True)
        assert all(a == c and math.isclose(b, d, abs_tol=1e-3) for (a, b), (c, d) in pairs), mix
        assert bool(mix.get("logprobs")) == bool(logprobs_of(one))


def test_the_mixes_do_what_they_say(url: str) -> None:
    def texts(**fields: Any) -> list[str]:
        answer = ask(url, {**create_body(0), **fields})
        return [choice["message"]["content"] for choice in answer["choices"]]

    three = texts(**SEEDED, n=3)
    assert len(set(three)) == 3  # each choice draws for itself
    assert texts(**SEEDED, n=3) == three
    (chosen,) = texts(structured_outputs={"choice": ["red", "green", "blue"]})
    assert chosen in ("red", "green", "blue")
    (person,) = texts(response_format=JSON_SCHEMA, max_tokens=60)
    assert set(json.loads(person)) == {"name", "age"}
    (biased,) = texts(logit_bias={"28": 100})  # a comma, and nothing else
    assert set(biased) == {","}
