"""What the soak sends: requests whose right answers are known, and every way to misbehave."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.live.client import Api, Json, content, expect

NUM_KNOWN = 24
# A greedy answer in which the best two tokens are closer than this might change with the batch.
SMALLEST_MARGIN = 1e-3
WORDS = ("rivers", "bread", "trains", "winter", "moon", "chess", "bees", "harbours", "ink", "glass")
KINDS = {  # weights
    "whole": 30,
    "stream": 30,
    "choices": 5,
    "leave": 8,
    "leave-stream": 15,
    "oversized": 4,
    "invalid": 8,
    "big body": 1,
    "bomb": 2,
    "slow client": 3,
    "pipelined and gone": 3,
    "half-closed": 3,
    "tokenize flood": 1,
}
INVALID: tuple[Json, ...] = (
    {"temperature": "hot"},
    {"max_tokens": 0},
    {"max_tokens": 10**9},
    {"messages": []},
    {"messages": [{"role": "user", "content": 5}]},
    {"priority": "first"},
    {"cache_salt": ""},
    {"logit_bias": {"-1": 3}},
    {"stop": ["a"] * 9},
    {"n": 0},
)


class Known:
    """Requests and what they must be answered with, found out one by one on an idle server."""

    def __init__(self, bodies: list[Json], texts: list[str]) -> None:
        self._bodies = bodies
        self._texts = texts

    @classmethod
    async def ask(cls, api: Api, draw: random.Random) -> Known:
        bodies: list[Json] = []
        texts: list[str] = []
        while len(bodies) < NUM_KNOWN:
            body = _known_body(api, draw)
            answer = await _answer(api, body | {"logprobs": True, "top_logprobs": 2})
            if body["temperature"] == 0 and _smallest_margin(answer) < SMALLEST_MARGIN:
                continue
            bodies.append(body)
            texts.append(content(answer))
        return cls(bodies, texts)

    def draw(self, draw: random.Random) -> tuple[Json, str]:
        index = draw.randrange(len(self._bodies))
        return self._bodies[index], self._texts[index]


def _known_body(api: Api, draw: random.Random) -> Json:
    """One of four beginnings, so that the prefix cache has something to do; short and long ones."""
    topic = WORDS[draw.randrange(4)]
    beginning = f"Everything about {topic}. " * draw.choice((2, 10, 40))
    question = " ".join(draw.choice(WORDS) for _ in range(draw.randrange(1, 60)))
    fields: dict[str, Any] = {"ignore_eos": True}
    if draw.random() < 0.4:
        fields |= {"temperature": 0.8, "top_p": 0.95, "seed": draw.getrandbits(31)}
    # More than the 128 tokens that are reserved ahead, now and then: then others have to make room.
    num_answer_tokens = draw.choice((1, 8, 20, 40, 200))
    return api.body(beginning + question, num_answer_tokens, **fields)


async def _answer(api: Api, body: Json) -> Json:
    response = await api.post(body)
    expect(response.status_code == 200, f"HTTP {response.status_code}: {response.text[:200]}")
    answer: Json = json.loads(response.text)
    return answer


def _smallest_margin(answer: Json) -> float:
    tops = [token["top_logprobs"] for token in answer["choices"][0]["logprobs"]["content"]]
    return float(min((top[0]["logprob"] - top[1]["logprob"] for top in tops), default=1.0))
