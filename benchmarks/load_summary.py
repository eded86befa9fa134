"""What the clients of one load felt: percentiles, rates, and how many were served within limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.load import Answer, LoadResult
from benchmarks.report import percentile


@dataclass(frozen=True, slots=True)
class Limits:
    """What a served client accepts, in seconds; None: anything."""

    ttft: float | None = None
    token: float | None = None  # mean time of an answer's tokens after its first
    end_to_end: float | None = None

    @property
    def are_set(self) -> bool:
        return (self.ttft, self.token, self.end_to_end) != (None, None, None)

    def are_kept_by(self, answer: Answer) -> bool:
        pairs = (
            (answer.ttft_seconds, self.ttft),
            (token_seconds(answer), self.token),
            (end_to_end_seconds(answer), self.end_to_end),
        )
        return not answer.error and all(limit is None or value <= limit for value, limit in pairs)


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles, in seconds; None of nothing."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        if not values:
            return cls()
        return cls(*(percentile(values, percent) for percent in (50, 90, 99)))


@dataclass(frozen=True, slots=True)
class Summary:
    """One load. Times are of the requests that were answered; rates are per second of the whole run."""

    load: str  # "8 streams", "2 requests/s"
    num_requests: int
    errors: dict[str, int]  # how often each
    wall_seconds: float
    requests_per_second: float  # answered
    output_tokens_per_second: float
    goodput_per_second: float | None  # requests within the limits; None where none is set
    ttft: Spread
    inter_token: Spread  # of all gaps between chunks with text
    token: Spread  # of the answers' mean times per token after the first
    end_to_end: Spread

    @property
    def num_errors(self) -> int:
        return sum(self.errors.values())


def summarise(load: str, result: LoadResult, limits: Limits) -> Summary:
    answered = answered_in(result)
    rate = 1 / result.wall_seconds
    num_good = sum(map(limits.are_kept_by, result.answers))
    return Summary(
        load=load,
        num_requests=len(result.answers),
        errors=dict(Counter(answer.error for answer in result.answers if answer.error)),
        wall_seconds=result.wall_seconds,
        requests_per_second=len(answered) * rate,
        output_tokens_per_second=sum(map(num_tokens, answered)) * rate,
        goodput_per_second=num_good * rate if limits.are_set else None,
        ttft=Spread.of([answer.ttft_seconds for answer in answered]),
        inter_token=Spread.of([gap for answer in answered for gap in answer.gaps_seconds]),
        token=Spread.of([token_seconds(answer) for answer in answered if num_tokens(answer) > 1]),
        end_to_end=Spread.of([end_to_end_seconds(answer) for answer in answered]),
    )


def answered_in(result: LoadResult) -> list[Answer]:
    return [answer for answer in result.answers if not answer.error]


def num_tokens(answer: Answer) -> int:
    """By the server's count; by chunks where it gives none."""
    return answer.num_completion_tokens or len(answer.token_times)


def token_seconds(answer: Answer) -> float:
    """The mean after the first token, up to the last one; 0 of one token."""
    if num_tokens(answer) < 2 or not answer.token_times:
        return 0.0
    return (answer.token_times[-1] - answer.token_times[0]) / (num_tokens(answer) - 1)


def end_to_end_seconds(answer: Answer) -> float:
    return answer.ended - answer.started


# What a plot shows of a load: by a title, all its values in seconds.
SERIES: dict[str, Callable[[LoadResult], list[float]]] = {
    "time to first token": lambda result: [each.ttft_seconds for each in answered_in(result)],
    "inter-token": lambda result: [gap for each in answered_in(result) for gap in each.gaps_seconds],
    "end to end": lambda result: [end_to_end_seconds(each) for each in answered_in(result)],
}
