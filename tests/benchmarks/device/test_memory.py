from __future__ import annotations

import pytest

from api.stats import PrefixCacheStats, SchedulerStats
from benchmarks.device.findings import Verdict
from benchmarks.device.memory import account_of, compare_bytes


@pytest.mark.parametrize(
    ("found", "verdict"),
    [(1.0, Verdict.PASS), (1.01, Verdict.PASS), (0.4, Verdict.PASS), (1.2, Verdict.FAIL)],
)
def test_more_than_the_account_says_is_wrong(found: float, verdict: Verdict) -> None:
    account = 2 * 10**9
    assert compare_bytes("x", int(found * account), account).verdict is verdict


def test_pages_and_small_arrays_are_not_counted() -> None:
    assert compare_bytes("x", 3 * 1024**2, 0).verdict is Verdict.PASS
    assert compare_bytes("x", 5 * 1024**2, 0).verdict is Verdict.FAIL


def test_the_account_is_what_slots_and_kept_blocks_take() -> None:
    stats = SchedulerStats(kv_reserved_bytes=700, prefix_cache=PrefixCacheStats(used_bytes=50))
    assert account_of(stats) == 750
