"""A small client of the chat completions API that checks the form of what it receives."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

Json = dict[str, Any]


class CheckFailedError(Exception):
    """The server did something else than a check expects; the message says what."""


def expect(condition: object, message: str) -> None:
    if not condition:
        raise CheckFailedError(message)


@dataclass(slots=True)
class Stream:
    """What one streamed answer brought; times are ``time.perf_counter()`` seconds."""

    text: str = ""
    roles: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Json | None = None
    is_done: bool = False
    times: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Api:
    """The server under test."""

    http: httpx.AsyncClient
    model: str

    def body(self, prompt: str, max_tokens: int, **fields: Any) -> Json:
        messages = [{"role": "user", "content": prompt}]
        return {
            "model": self.model,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": 0,
        } | fields

    async def post(self, body: Any) -> httpx.Response:
        return await self.http.post("/v1/chat/completions", json=body)

    async def whole(self, prompt: str, max_tokens: int, **fields: Any) -> Json:
        response = await self.post(self.body(prompt, max_tokens, **fields))
        expect(response.status_code == 200, f"HTTP {response.status_code}: {response.text[:200]}")
        answer: Json = response.json()
        return answer

    async def events(self, body: Json) -> AsyncIterator[Json | None]:
        """The stream's events; None is ``[DONE]``. Closing the iterator early disconnects."""
        async with self.http.stream("POST", "/v1/chat/completions", json=body | {"stream": True}) as response:
            expect(response.status_code == 200, f"HTTP {response.status_code} to a streamed request")
            expect(response.headers["content-type"].startswith("text/event-stream"), "no event stream")
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    yield None if line == "data: [DONE]" else json.loads(line[6:])

    async def stream(self, prompt: str, max_tokens: int, into: Stream | None = None, **fields: Any) -> Stream:
        stream = into or Stream()
        async for event in self.events(self.body(prompt, max_tokens, **fields)):
            expect(not stream.is_done, "an event after [DONE]")
            take_event(stream, event)
        return stream

    async def stats(self) -> Json:
        stats: Json = (await self.http.get("/stats")).json()
        return stats


def take_event(stream: Stream, event: Json | None) -> None:
    if event is None:
        stream.is_done = True
        return
    expect("error" not in event, f"an error event: {event.get('error')}")
    stream.usage = event.get("usage") or stream.usage
    for choice in event["choices"]:
        delta = choice["delta"]
        if delta.get("role"):
            stream.roles.append(delta["role"])
        if delta.get("content"):
            expect(stream.roles, "content came before the role")
            stream.text += delta["content"]
            stream.times.append(time.perf_counter())
        stream.finish_reason = choice["finish_reason"] or stream.finish_reason


def content(answer: Json) -> str:
    text: str = answer["choices"][0]["message"]["content"]
    return text


def expect_error(response: httpx.Response, status: int, param: str | None = None) -> None:
    """An error in OpenAI's shape with this status, naming this field."""
    what = f"{response.request.method} {response.request.url.path}"
    expect(response.status_code == status, f"{what}: HTTP {response.status_code}, expected {status}")
    error = response.json().get("error")
    expect(isinstance(error, dict), f"{what}: no error object: {response.text[:200]}")
    missing = {"message", "type", "param", "code"} - set(error)
    expect(not missing, f"{what}: error without {missing}")
    expect(param is None or error["param"] == param, f"{what}: param {error['param']!r}, expected {param!r}")


async def leave(api: Api, body: Json, seconds: float) -> None:
    """Sends a request and closes the connection before its answer can be complete."""
    try:
        await asyncio.wait_for(api.post(body), seconds)
    except TimeoutError:
        return


def live_state(stats: Json) -> Json:
    """What must be zero when nobody is served."""
    batch = stats["batch"]
    return {
        "live requests": stats["requests"]["live"],
        "rows": batch["running"],
        "queued": batch["queued"],
        "KV bytes": stats["kv_memory"]["used_bytes"],
    }


async def until_idle(api: Api, limit_seconds: float) -> float:
    """Returns the seconds until nothing is in use any more; needs a server that serves nobody else."""
    started = time.perf_counter()
    while any((state := live_state(await api.stats())).values()):
        waited = time.perf_counter() - started
        expect(waited < limit_seconds, f"after {waited:.0f} s still in use: {state}")
        await asyncio.sleep(0.1)
    return time.perf_counter() - started
