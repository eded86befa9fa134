"""A light load generator: raw asyncio sockets, so that the client takes little of the cores it measures."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from benchmarks.endpoint import Endpoint

CONNECT_STAGGER_SECONDS = 0.005  # a burst of connects overflows short accept queues and costs a 1 s retry
MAX_LINE_BYTES = 1 << 20
TEXT_FIELDS = ("content", "reasoning_content", "reasoning")  # of a chunk, as servers call them


class LoadError(Exception):
    """A server answered with something else than a complete stream."""


@dataclass(slots=True)
class Answer:
    """One streamed answer as the client saw it; times are ``time.perf_counter()`` seconds."""

    started: float
    token_times: list[float] = field(default_factory=list)  # arrival of each chunk that carries text
    ended: float = 0.0
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    num_cached_tokens: int = 0  # of the prompt, where the server says
    text: str = ""
    finish_reason: str | None = None
    error: str = ""  # why it did not come to its end, where the caller counts that

    @property
    def ttft_seconds(self) -> float:
        """Time to the first text; that of the whole answer when it had none."""
        return (self.token_times[0] if self.token_times else self.ended) - self.started

    @property
    def gaps_seconds(self) -> list[float]:
        return [after - before for before, after in pairwise(self.token_times)]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """All answers of one run and its wall time."""

    answers: tuple[Answer, ...]
    wall_seconds: float

    @property
    def output_tokens_per_second(self) -> float:
        return sum(answer.num_completion_tokens for answer in self.answers) / self.wall_seconds

    @property
    def gaps_seconds(self) -> list[float]:
        return [gap for answer in self.answers for gap in answer.gaps_seconds]

    @property
    def ttfts_seconds(self) -> list[float]:
        return [answer.ttft_seconds for answer in self.answers]


def chat_body(prompt: str, max_tokens: int, model: str) -> dict[str, Any]:
    """A greedy streamed request, so that two servers with the same weights do the same work."""
    return messages_body([{"role": "user", "content": prompt}], max_tokens, model)


def messages_body(messages: list[dict[str, str]], max_tokens: int, model: str) -> dict[str, Any]:
    """The same for a whole conversation."""
    return {
        "model": model,
        "messages": messages,
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


Send = Callable[[dict[str, Any], Answer], Awaitable[Answer]]
"""Sends a body, and fills the answer and returns it."""


async def stream_chat(url: str, body: dict[str, Any], answer: Answer | None = None) -> Answer:
    """Sends one request and reads its stream to the end.

    ``answer`` is filled while the stream runs, for callers that watch or cancel it.
    Raises LoadError for an HTTP error, an error event or a stream without ``[DONE]``.
    """
    return await stream_from(Endpoint.of(url), body, answer or Answer(started=time.perf_counter()))


async def stream_from(endpoint: Endpoint, body: dict[str, Any], answer: Answer) -> Answer:
    """The same for any endpoint."""
    reader, writer = await asyncio.open_connection(
        endpoint.host, endpoint.port, limit=MAX_LINE_BYTES, ssl=endpoint.tls
    )
    try:
        writer.write(endpoint.chat_request(body))
        await _read_answer(reader, answer)
    finally:
        writer.close()
    answer.ended = time.perf_counter()
    return answer


async def attempt(endpoint: Endpoint, timeout_seconds: float, body: dict[str, Any], answer: Answer) -> Answer:
    """The same, but whatever goes wrong is the answer's ``error``."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await stream_from(endpoint, body, answer)
    except TimeoutError:
        answer.error = f"not answered in {timeout_seconds:g} s"
    except (LoadError, OSError, EOFError, ValueError) as error:
        answer.error = str(error) or type(error).__name__
    answer.ended = time.perf_counter()
    return answer


async def closed_loop(url: str, bodies: Iterable[dict[str, Any]], num_streams: int) -> LoadResult:
    """``num_streams`` workers; each sends its next request when its last one is answered."""

    async def send(body: dict[str, Any], answer: Answer) -> Answer:
        return await stream_chat(url, body, answer)

    return await run_closed(send, bodies, num_streams)


async def run_closed(send: Send, bodies: Iterable[dict[str, Any]], num_streams: int) -> LoadResult:
    """The same, however a request is sent."""
    pending = iter(list(bodies))
    answers: list[Answer] = []

    async def worker(index: int) -> None:
        await asyncio.sleep(index * CONNECT_STAGGER_SECONDS)
        for body in pending:
            answers.append(await send(body, Answer(started=time.perf_counter())))

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for index in range(num_streams):
            group.create_task(worker(index))
    return LoadResult(tuple(answers), time.perf_counter() - started)


async def run_open(send: Send, bodies: Iterable[dict[str, Any]], arrivals: Sequence[float]) -> LoadResult:
    """Each request at its time in ``arrivals`` (seconds from now, ascending), whatever the others do.

    An answer's time counts from then, so that a client that comes late does not flatter the server.
    """
    started = time.perf_counter()
    tasks: list[asyncio.Task[Answer]] = []
    async with asyncio.TaskGroup() as group:
        for body, arrival in zip(bodies, arrivals, strict=True):
            await asyncio.sleep(max(0.0, started + arrival - time.perf_counter()))
            tasks.append(group.create_task(_awaited(send(body, Answer(started=started + arrival)))))
    return LoadResult(tuple(task.result() for task in tasks), time.perf_counter() - started)


async def _awaited(answer: Awaitable[Answer]) -> Answer:
    return await answer


async def _read_answer(reader: asyncio.StreamReader, answer: Answer) -> None:
    status, headers = await _read_head(reader)
    if status != 200:
        text = (await reader.read(MAX_LINE_BYTES)).decode(errors="replace")
        raise LoadError(f"HTTP {status}: {text[:300]}")
    is_chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    async for line in _lines(_chunks(reader) if is_chunked else _blocks(reader)):
        if line == b"data: [DONE]":
            return
        if line.startswith(b"data: "):
            _take_event(json.loads(line[6:]), answer)
    raise LoadError("the stream ended without [DONE]")


def _take_event(event: dict[str, Any], answer: Answer) -> None:
    if "error" in event:
        raise LoadError(f"error event: {event['error']}")
    for choice in event.get("choices", ()):
        delta = choice["delta"]
        if any(delta.get(name) for name in TEXT_FIELDS):
            answer.token_times.append(time.perf_counter())
            answer.text += delta.get("content") or ""
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
    if usage := event.get("usage"):
        answer.num_prompt_tokens = usage["prompt_tokens"]
        answer.num_completion_tokens = usage["completion_tokens"]
        answer.num_cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    status_line = (await reader.readline()).split()
    if len(status_line) < 2:
        raise LoadError("the server closed the connection without an answer")
    headers: dict[str, str] = {}
    while line := (await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return int(status_line[1]), headers


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
        yield (await reader.readexactly(size + 2))[:-2]


async def _blocks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while block := await reader.read(65536):
        yield block


async def _lines(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Complete lines without their end, whatever the blocks' borders are."""
    rest = b""
    async for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r")
