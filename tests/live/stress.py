"""Hundreds of requests of all lengths, a quarter of whose clients leave; then nothing may be left."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

from tests.live.client import (
    Api,
    Json,
    Stream,
    content,
    expect,
    expect_error,
    leave,
    take_event,
    until_idle,
)

NUM_REQUESTS = 300
NUM_CLIENTS = 48
FREE_TIMEOUT_SECONDS = 30.0  # until everything that clients left behind must be gone
KINDS = {"whole": 35, "stream": 35, "leave": 10, "leave-stream": 15, "oversized": 5}  # weights
WORDS = ("rivers", "bread", "trains", "winter", "moon", "chess", "bees", "harbours")


async def check_stress(api: Api) -> str:
    """Returns what became of the requests; raises CheckFailedError for the first wrong answer or leak."""
    probe = await api.whole("Describe the sea.", 12)
    draw = random.Random(1)
    pending = iter([random_request(api, draw) for _ in range(NUM_REQUESTS)])
    outcomes: Counter[str] = Counter()

    async def client() -> None:
        for kind, body, patience in pending:
            outcomes[await one_request(api, kind, body, patience)] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(NUM_CLIENTS):
            group.create_task(client())
    seconds = await until_idle(api, FREE_TIMEOUT_SECONDS)
    again = await api.whole("Describe the sea.", 12)
    expect(content(again) == content(probe), "another answer than before the stress")
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"{counts}; nothing left after {seconds:.1f} s"


def random_request(api: Api, draw: random.Random) -> tuple[str, Json, float]:
    """Returns how it is sent, the body, and the seconds after which a client that leaves does so."""
    kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
    num_words = 200_000 if kind == "oversized" else int(draw.triangular(1, 250, 20))
    prompt = f"{draw.random()} " + " ".join(draw.choice(WORDS) for _ in range(num_words))
    body = api.body(prompt, draw.randint(1, 24), temperature=draw.choice((0, 1)), seed=draw.getrandbits(31))
    return kind, body, draw.uniform(0.0, 3.0)


async def one_request(api: Api, kind: str, body: Json, patience: float) -> str:
    if kind == "leave":
        await leave(api, body, patience)
        return "left"
    if kind == "leave-stream":
        await leave_stream(api, body, patience)
        return "left"
    if kind == "oversized":
        expect_error(await api.post(body), 400)
        return "refused"
    await (complete_stream(api, body) if kind == "stream" else complete_whole(api, body))
    return "answered"


async def leave_stream(api: Api, body: Json, patience: float) -> None:
    stop_at = time.perf_counter() + patience
    async for _ in api.events(body):
        if time.perf_counter() > stop_at:
            return


async def complete_stream(api: Api, body: Json) -> None:
    stream = Stream()
    async for event in api.events(body):
        take_event(stream, event)
    expect(stream.is_done and stream.finish_reason in ("stop", "length"), "a stream without an end")


async def complete_whole(api: Api, body: Json) -> None:
    response = await api.post(body)
    expect(response.status_code == 200, f"HTTP {response.status_code}: {response.text[:200]}")
    num_tokens = response.json()["usage"]["completion_tokens"]
    expect(num_tokens <= body["max_tokens"], f"{num_tokens} tokens of {body['max_tokens']}")
