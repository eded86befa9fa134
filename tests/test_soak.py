"""A short soak; the long one is ``python -m tests.soak``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.__main__ import KV_MEMORY, soak_tiny
from tests.soak.abuse import ABUSES


@pytest.mark.model
def test_a_storm_in_two_megabytes_gets_right_answers_and_leaves_nothing(tmp_path: Path) -> None:
    report = soak_tiny(tmp_path, 250, 1, "llama", "--kv-memory", KV_MEMORY)
    assert report.stats["batch"]["preemptions"]
    assert report.stats["prefix_cache"]["evicted_blocks"]
    assert report.stats["prefix_cache"]["hit_tokens"]
    assert {"answered", "left", "refused"} <= set(report.outcomes) <= {"answered", "left", "refused", *ABUSES}
