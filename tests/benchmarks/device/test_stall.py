from __future__ import annotations

import time

import pytest

from benchmarks.device.findings import Verdict
from benchmarks.device.stall import Stall, findings, measure_stall
from tests.benchmarks.device.fake_runner import FakeRunner

STREAMS = [[1] * 4] * 8


def test_the_long_prompt_is_what_widens_the_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = FakeRunner(step_seconds=0.1, rows_a_step=32, row_seconds=0.01)
    monkeypatch.setattr(time, "perf_counter", runner.clock)
    stall = measure_stall(runner, [*STREAMS, [1] * 320])
    assert stall.quiet_gap == pytest.approx(0.1)
    assert stall.longest_gap == pytest.approx(0.1 + 32 * 0.01)
    assert stall.first_token == pytest.approx(10 * 0.42 + 0.1)
    assert runner.is_closed


@pytest.mark.parametrize(
    ("longest", "theirs", "verdict"),
    [
        (0.30, 0.1, Verdict.PASS),  # the gap before and twice the target
        (0.35, 0.1, Verdict.SLOW),
        (0.35, 2.0, Verdict.PASS),  # no plan can do better than mlx-lm's chunk on such a device
    ],
)
def test_a_stall_is_judged_by_the_target_or_by_mlx_lm(
    longest: float, theirs: float, verdict: Verdict
) -> None:
    found = findings(Stall(0.04, longest, 1.0), Stall(0.05, theirs, 2.0), target_seconds=0.13)
    assert [each.verdict for each in found] == [Verdict.INFO, verdict, Verdict.INFO]
    assert found[1].value == pytest.approx(1000 * longest)
    assert found[2].ratio == 0.5
