from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from api.errors import QueueFullError, ServerSideError
from api.events import Usage
from api.observability.request_log import RequestTiming, log_failed, log_finished, log_refused
from api.types import FinishReason


def test_timing_gives_gaps_first_token_and_rate() -> None:
    timing = RequestTiming(arrival_seconds=10.0)
    assert timing.time_to_first_token_seconds is None
    assert timing.tokens_per_second is None
    gaps = [timing.token(now) for now in (10.5, 11.0, 12.5)]
    assert gaps == [0.5, 0.5, 1.5]
    assert timing.time_to_first_token_seconds == 0.5
    assert timing.tokens_per_second == pytest.approx(2 / 2.0)


def test_one_token_has_no_rate() -> None:
    timing = RequestTiming(arrival_seconds=1.0)
    timing.token(2.0)
    assert timing.tokens_per_second is None


def test_the_line_of_a_finished_request() -> None:
    timing = RequestTiming(arrival_seconds=0.0)
    for now in (0.25, 0.75):
        timing.token(now)
    with capture_logs() as lines:
        log_finished("a", FinishReason.LENGTH, Usage(7, 2, num_cached_tokens=5), [timing, RequestTiming(0.0)])
    assert lines == [
        {
            "event": "request finished",
            "log_level": "info",
            "request_id": "a",
            "finish_reason": "length",
            "prompt_tokens": 7,
            "completion_tokens": 2,
            "cached_tokens": 5,
            "ttft_seconds": 0.25,
            "tokens_per_second": 2.0,
        }
    ]


def test_failures_and_refusals_are_warnings() -> None:
    with capture_logs() as lines:
        log_failed("a", ServerSideError("broken"))
        log_refused("b", QueueFullError("full"))
    assert [(line["log_level"], line["status"], line["code"]) for line in lines] == [
        ("warning", 500, "internal_error"),
        ("warning", 429, "rate_limit_exceeded"),
    ]
