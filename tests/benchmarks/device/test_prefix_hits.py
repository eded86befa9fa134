from __future__ import annotations

import pytest

from benchmarks.device.findings import Verdict
from benchmarks.device.prefix_hits import Turn, findings


@pytest.mark.parametrize(
    ("cached", "verdict"), [((0, 90), Verdict.PASS), ((0, 40), Verdict.FAIL), ((32, 90), Verdict.FAIL)]
)
def test_the_first_turn_finds_nothing_and_the_second_most(cached: tuple[int, int], verdict: Verdict) -> None:
    first, second = (Turn([1], seconds, hits) for seconds, hits in zip((1.0, 0.2), cached, strict=True))
    hits, wait = findings(first, second, num_history=100)
    assert hits.verdict is verdict
    assert (wait.verdict, wait.ratio) == (Verdict.PASS, 0.2)
