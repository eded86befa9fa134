"""Tokens per second of a runner, whoever it is."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.device.runners import Runner

_ROOM_TOKENS = 512  # those that began first go on while the last prompts are read


def decode_rate(runner: Runner, prompts: Sequence[Sequence[int]], num_steps: int) -> float:
    """Tokens per second of all rows together, from when each has its second token."""
    counts = {runner.add(prompt, num_steps + _ROOM_TOKENS): 0 for prompt in prompts}
    while min(counts.values()) < 2:
        for token in runner.step():
            counts[token.sequence_id] += 1
    started, num_tokens = time.perf_counter(), 0
    last = started
    for _ in range(num_steps):
        tokens = runner.step()
        num_tokens += len(tokens)
        last = tokens[-1].seconds if tokens else last
    return num_tokens / (last - started)


def prefill_rate(runner: Runner, prompt: Sequence[int]) -> float:
    """Prompt tokens per second until the first token of the answer."""
    started = time.perf_counter()
    runner.add(prompt, 1)
    tokens = runner.step()
    while not tokens:
        tokens = runner.step()
    return len(prompt) / (tokens[0].seconds - started)
