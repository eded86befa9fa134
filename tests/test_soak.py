"""A short soak; the long one is ``python -m tests.soak``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.__main__ import soak_tiny


@pytest.mark.model
def test_a_storm_in_a_megabyte_gets_right_answers_and_leaves_nothing(tmp_path: Path) -> None:
    report = soak_tiny(tmp_path, num_requests=250, seed=1)
    assert report.stats["batch"]["preemptions"]
    assert report.stats["prefix_cache"]["evicted_blocks"]
    assert report.stats["prefix_cache"]["hit_tokens"]
    assert set(report.outcomes) == {"answered", "left", "refused"}
