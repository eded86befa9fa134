from __future__ import annotations

import pytest

from api.errors import RateLimitError
from api.keys.key import KeyLimits
from api.keys.meter import Meter
from tests.keys.clocks import Clock


def refused(meter: Meter) -> RateLimitError:
    with pytest.raises(RateLimitError) as caught:
        meter.enter()
    return caught.value


def test_without_limits_nothing_is_refused_and_nothing_told() -> None:
    meter = Meter(KeyLimits())
    for _ in range(1000):
        meter.enter()
        meter.charge(10**9)
    assert meter.headers() == {}
    assert not meter.counts_tokens


def test_requests_a_minute() -> None:
    clock = Clock()
    meter = Meter(KeyLimits(requests_per_minute=2), clock)
    meter.enter()
    meter.enter()
    error = refused(meter)
    assert (error.status, error.code, error.retry_after_seconds) == (429, "rate_limit_exceeded", 30)
    assert "2 requests a minute" in error.message
    clock.seconds += 30
    meter.enter()
    assert refused(meter).retry_after_seconds == 30


def test_running_requests() -> None:
    meter = Meter(KeyLimits(concurrent_requests=1, requests_per_minute=100), Clock())
    meter.enter()
    assert refused(meter).retry_after_seconds == 1
    meter.leave()
    meter.enter()
    assert meter.headers()["x-ratelimit-remaining-requests"] == "98"  # the refused one was not counted


def test_tokens_leave_a_debt() -> None:
    clock = Clock()
    meter = Meter(KeyLimits(tokens_per_minute=60), clock)
    meter.enter()
    meter.charge(119)
    assert refused(meter).retry_after_seconds == 60
    clock.seconds += 60
    meter.enter()


def test_what_is_told_is_what_is_left() -> None:
    clock = Clock()
    meter = Meter(KeyLimits(requests_per_minute=60, tokens_per_minute=600), clock)
    meter.enter()
    meter.charge(700)
    assert meter.headers() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m10s",
    }
    clock.seconds += 0.75
    assert meter.headers()["x-ratelimit-reset-requests"] == "250ms"


def test_new_limits_forget_nothing_that_they_leave_alone() -> None:
    meter = Meter(KeyLimits(requests_per_minute=1, concurrent_requests=1), Clock())
    meter.enter()
    meter.set_limits(KeyLimits(requests_per_minute=1))
    assert "requests a minute" in refused(meter).message
    meter.set_limits(KeyLimits(requests_per_minute=5))
    meter.enter()
    meter.set_limits(KeyLimits())
    meter.enter()
