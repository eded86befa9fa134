from __future__ import annotations

import pytest

from benchmarks.deep_prompt import (
    DEPTHS,
    DeepRead,
    Progress,
    deep_findings,
    growth_ratio,
    milliseconds_per_token,
)
from benchmarks.long_prompt import LENGTHS, Reading, marginal_milliseconds, server_findings
from benchmarks.report import all_met


def read_at(seconds_per_token: float, seconds_per_context: float, num_tokens: int = 100_000) -> DeepRead:
    """A prompt whose tokens cost so much each, and so much more for each token before."""
    positions = range(0, num_tokens + 1, 250)
    progress = [Progress(n, n * seconds_per_token + n * n / 2 * seconds_per_context) for n in positions]
    return DeepRead(tuple(progress), peak_bytes=150, kv_bytes=100)


def test_the_time_per_token_is_that_of_the_last_tokens_before_a_depth() -> None:
    progress = read_at(1e-3, 1e-7).progress
    assert milliseconds_per_token(progress, 50_000) == pytest.approx(1 + 0.1e-3 * 48_750)


def test_attention_alone_grows_steadily() -> None:
    findings = deep_findings(read_at(1e-3, 1e-7))
    assert [finding.name for finding in findings[:4]] == [f"time per token at {d:,}" for d in DEPTHS]
    assert findings[4].value == pytest.approx(1.0)
    assert findings[5].value == 1.5
    assert all_met(findings)


def test_a_rate_that_breaks_down_is_seen() -> None:
    assert growth_ratio({1: 1.0, 2: 2.0, 4: 4.0, 8: 30.0}) == pytest.approx(6.5)


def test_readings_are_compared_by_length_and_between_lengths() -> None:
    ours = {n: [Reading(n, n / 100)] for n in LENGTHS}
    theirs = {n: [Reading(n, n / 50)] for n in LENGTHS}
    findings = server_findings(ours, theirs)
    ratios = {finding.name: finding.ratio for finding in findings}
    assert ratios["rate of a 1500-token prompt"] == pytest.approx(2.0)
    assert ratios["TTFT of a 6800-token prompt"] == pytest.approx(0.5)
    assert ratios["time per token from 3000 to 6800"] == pytest.approx(0.5)
    assert all_met(findings)
    assert not all_met(server_findings(theirs, ours))


def test_the_marginal_time_is_taken_within_each_round() -> None:
    shorter, longer = [Reading(100, 1.0), Reading(100, 2.0)], [Reading(200, 3.0), Reading(300, 3.0)]
    assert marginal_milliseconds(shorter, longer) == pytest.approx((20.0, 5.0))
