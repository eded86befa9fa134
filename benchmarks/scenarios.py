"""The loads: each takes one ready server and returns what its clients saw."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.load import Answer, LoadResult, chat_body, closed_loop, stream_chat
from benchmarks.prompts import story_prompt, story_prompts
from benchmarks.report import percentile
from benchmarks.servers import Server

NUM_PROMPT_TOKENS = 95
NUM_ANSWER_TOKENS = 64
NUM_LONG_PROMPT_TOKENS = 1500
NUM_BACKGROUND_STREAMS = 8
NUM_BACKGROUND_TOKENS = 400  # longer than any server needs for the long prompt
NUM_WARM_UP_TOKENS = 8  # what each background stream has received when the long prompt arrives
BACKGROUND_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Throughput:
    """One closed-loop run in numbers."""

    output_tokens_per_second: float
    gap_p50_seconds: float
    gap_p99_seconds: float
    ttft_p50_seconds: float
    ttft_p99_seconds: float
    num_output_tokens: int


@dataclass(frozen=True, slots=True)
class LongPrompt:
    """What eight running streams and the long prompt itself felt."""

    longest_gap_seconds: float
    ttft_seconds: float
    num_prompt_tokens: int


def warm_up(server: Server) -> None:
    """One short answer: weights are paged in, the first compilation is over."""
    asyncio.run(stream_chat(server.url, chat_body("Say hello.", 4, server.model)))


def measure_throughput(server: Server, num_streams: int, seed: int) -> Throughput:
    """Twice as many requests as streams (four for one stream), ``num_streams`` at a time."""
    num_requests = 4 if num_streams == 1 else 2 * num_streams
    # Prompts of no other number of streams: both servers keep what they have read.
    prompts = story_prompts(num_requests, NUM_PROMPT_TOKENS, 100 * num_streams + seed)
    bodies = [chat_body(prompt, NUM_ANSWER_TOKENS, server.model) for prompt in prompts]
    return _summarise(asyncio.run(closed_loop(server.url, bodies, num_streams)))


def _summarise(result: LoadResult) -> Throughput:
    gaps, ttfts = result.gaps_seconds, result.ttfts_seconds
    return Throughput(
        output_tokens_per_second=result.output_tokens_per_second,
        gap_p50_seconds=percentile(gaps, 50),
        gap_p99_seconds=percentile(gaps, 99),
        ttft_p50_seconds=percentile(ttfts, 50),
        ttft_p99_seconds=percentile(ttfts, 99),
        num_output_tokens=sum(answer.num_completion_tokens for answer in result.answers),
    )


def measure_long_prompt(server: Server, seed: int) -> LongPrompt:
    """Eight streams run; a long prompt arrives; the streams are watched until its first token."""
    return asyncio.run(_long_prompt(server, seed))


async def _long_prompt(server: Server, seed: int) -> LongPrompt:
    prompts = story_prompts(NUM_BACKGROUND_STREAMS, NUM_PROMPT_TOKENS, seed)
    running = [Answer(started=time.perf_counter()) for _ in prompts]
    tasks = [
        asyncio.create_task(stream_chat(server.url, _background(prompt, server), answer))
        for prompt, answer in zip(prompts, running, strict=True)
    ]
    try:
        await _until_streaming(running)
        body = chat_body(story_prompt(NUM_LONG_PROMPT_TOKENS, seed), 2, server.model)
        long = await stream_chat(server.url, body)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    window = (long.started, long.started + long.ttft_seconds)
    longest = max(longest_gap(answer, *window) for answer in running)
    return LongPrompt(longest, long.ttft_seconds, long.num_prompt_tokens)


def _background(prompt: str, server: Server) -> dict[str, object]:
    return chat_body(prompt, NUM_BACKGROUND_TOKENS, server.model)


async def _until_streaming(answers: list[Answer]) -> None:
    deadline = time.perf_counter() + BACKGROUND_TIMEOUT_SECONDS
    while any(len(answer.token_times) < NUM_WARM_UP_TOKENS for answer in answers):
        if time.perf_counter() > deadline:
            raise TimeoutError("the background streams do not run")
        await asyncio.sleep(0.02)


def longest_gap(answer: Answer, start: float, end: float) -> float:
    """Longest wait for a token that touched ``[start, end]``, the one still open at its end included.

    The stream's own end closes the window: nothing is owed after it.
    """
    end = min(end, answer.ended) if answer.ended else end
    times = answer.token_times
    gaps = [b - a for a, b in pairwise(times) if b > start and a < end]
    still_open = end - times[-1] if times and end > max(start, times[-1]) else 0.0
    return max([*gaps, still_open], default=0.0)
