"""Loads for simulated devices, and what their clients see."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

NUM_ANSWER_TOKENS = 64
_CLIENT_SECONDS = 0.001  # from an answer's end to the same client's next request


@dataclass(slots=True, eq=False)
class Request:
    """One client's request and when its tokens came."""

    number: int
    num_prompt_tokens: int
    num_answer_tokens: int = NUM_ANSWER_TOKENS
    arrival_seconds: float = 0.0
    token_seconds: list[float] = field(default_factory=list)
    is_counted: bool = True

    @property
    def is_done(self) -> bool:
        return len(self.token_seconds) >= self.num_answer_tokens

    @property
    def ttft_seconds(self) -> float:
        return self.token_seconds[0] - self.arrival_seconds

    @property
    def gaps_seconds(self) -> list[float]:
        return [after - before for before, after in pairwise(self.token_seconds)]


class Clients:
    """Sends the requests: ``scheduled`` at their times, each of ``queued`` when an answer has ended."""

    def __init__(self, scheduled: Iterable[Request], queued: Iterable[Request] = ()) -> None:
        self._scheduled = deque(sorted(scheduled, key=lambda request: request.arrival_seconds))
        self._queued = deque(queued)
        self.requests = [*self._scheduled, *self._queued]

    @property
    def next_seconds(self) -> float | None:
        """When the next request comes, of those whose time is known."""
        return self._scheduled[0].arrival_seconds if self._scheduled else None

    def take(self, now_seconds: float) -> list[Request]:
        taken = []
        while self._scheduled and self._scheduled[0].arrival_seconds <= now_seconds:
            taken.append(self._scheduled.popleft())
        return taken

    def receive(self, request: Request, now_seconds: float) -> None:
        """A token came. Closed loop: the answer's end brings the next request."""
        request.token_seconds.append(now_seconds)
        if request.is_done and self._queued:
            following = self._queued.popleft()
            following.arrival_seconds = now_seconds + _CLIENT_SECONDS
            self._scheduled.append(following)  # nothing is scheduled for later in a closed loop


@dataclass(frozen=True, slots=True)
class Load:
    name: str
    clients: Callable[[], Clients]


def closed_loop(
    num_streams: int,
    num_rounds: int = 3,
    prompts: tuple[int, int] = (32, 200),
    answers: tuple[int, int] = (64, 64),
) -> Load:
    def clients() -> Clients:
        source = random.Random(num_streams)
        requests = [
            Request(i, source.randint(*prompts), source.randint(*answers))
            for i in range(num_rounds * num_streams)
        ]
        for i, request in enumerate(requests[:num_streams]):
            request.arrival_seconds = i * 1e-4
        return Clients(requests[:num_streams], requests[num_streams:])

    mixed = " mixed" if answers[0] != answers[1] else ""
    return Load(f"{num_streams} streams{mixed}", clients)


def burst(num_requests: int = 32) -> Load:
    def clients() -> Clients:
        source = random.Random(num_requests)
        return Clients(Request(i, source.randint(32, 200)) for i in range(num_requests))

    return Load(f"burst of {num_requests}", clients)


def long_prompt(num_tokens: int, after_seconds: float, num_stream_tokens: int = 60) -> Load:
    """Beside eight streams that were there before and stay until it is read; theirs are prompts of about
    ``num_stream_tokens``."""

    def clients() -> Clients:
        streams = [Request(i, num_stream_tokens + 5 * i, 400) for i in range(8)]
        return Clients([*streams, Request(8, num_tokens, 8, arrival_seconds=after_seconds)])

    return Load(f"{num_tokens} beside 8", clients)


@dataclass(frozen=True, slots=True)
class Result:
    """What the clients of a run saw."""

    tokens_per_second: float
    ttft_p50: float
    gap_p50: float
    gap_p99: float
    longest_stall: float  # beyond the plain decode step
    num_steps: int


def summarise(requests: list[Request], longest_stall: float, num_steps: int) -> Result:
    assert all(request.is_done for request in requests)
    gaps = [gap for request in requests for gap in request.gaps_seconds]
    end = max(request.token_seconds[-1] for request in requests)
    return Result(
        tokens_per_second=sum(len(request.token_seconds) for request in requests) / end,
        ttft_p50=percentile([request.ttft_seconds for request in requests], 50),
        gap_p50=percentile(gaps, 50),
        gap_p99=percentile(gaps, 99),
        longest_stall=longest_stall,
        num_steps=num_steps,
    )


def percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
