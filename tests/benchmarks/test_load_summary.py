import pytest

from benchmarks.load import Answer, LoadResult
from benchmarks.load_summary import Limits, Spread, summarise


def answer(ttft: float, gap: float, num_chunks: int = 3, **fields: object) -> Answer:
    times = [10.0 + ttft + gap * index for index in range(num_chunks)]
    made = Answer(started=10.0, token_times=times, ended=times[-1] + 0.5, num_completion_tokens=num_chunks)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_percentiles_and_rates_are_of_the_answered() -> None:
    failed = Answer(started=10.0, ended=99.0, error="HTTP 429: wait")
    result = LoadResult((answer(1.0, 0.1), answer(3.0, 0.3), failed, failed), wall_seconds=4.0)
    summary = summarise("2 streams", result, Limits())
    assert (summary.num_requests, summary.num_errors) == (4, 2)
    assert summary.errors == {"HTTP 429: wait": 2}
    assert summary.requests_per_second == 0.5
    assert summary.output_tokens_per_second == 1.5
    assert summary.ttft == Spread(*map(pytest.approx, (1.0, 3.0, 3.0)))
    assert summary.inter_token == Spread(*map(pytest.approx, (0.1, 0.3, 0.3)))
    assert summary.token == Spread(*map(pytest.approx, (0.1, 0.3, 0.3)))
    assert summary.end_to_end == Spread(*map(pytest.approx, (1.7, 4.1, 4.1)))
    assert summary.goodput_per_second is None


def test_a_chunk_of_several_tokens_is_a_gap_but_counts_as_its_tokens() -> None:
    result = LoadResult((answer(1.0, 1.0, num_completion_tokens=5),), wall_seconds=1.0)
    summary = summarise("1 streams", result, Limits())
    assert summary.inter_token.p50 == pytest.approx(1.0)
    assert summary.token.p50 == pytest.approx(0.5)
    assert summary.output_tokens_per_second == 5


def test_a_server_that_counts_no_tokens_is_counted_by_chunks() -> None:
    result = LoadResult((answer(1.0, 1.0, num_completion_tokens=0),), wall_seconds=1.0)
    assert summarise("1 streams", result, Limits()).output_tokens_per_second == 3


@pytest.mark.parametrize(
    ("limits", "num_good"),
    [
        (Limits(ttft=2.0), 1),
        (Limits(token=0.2), 1),
        (Limits(end_to_end=4.2), 2),
        (Limits(ttft=2.0, token=0.05), 0),
    ],
)
def test_goodput_counts_whoever_is_served_within_all_limits(limits: Limits, num_good: int) -> None:
    late_but_failed = answer(0.1, 0.01, error="the stream ended without [DONE]")
    result = LoadResult((answer(1.0, 0.1), answer(3.0, 0.3), late_but_failed), wall_seconds=2.0)
    assert summarise("x", result, limits).goodput_per_second == num_good / 2


def test_of_nothing_answered_there_are_no_percentiles() -> None:
    result = LoadResult((Answer(started=0.0, ended=1.0, error="refused"),), wall_seconds=1.0)
    summary = summarise("x", result, Limits())
    assert summary.ttft == summary.end_to_end == Spread(None, None, None)
