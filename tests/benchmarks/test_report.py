import json
import math
from pathlib import Path

import pytest

from benchmarks.report import Comparison, Limit, Target, all_met, percentile, write_json


def test_the_ratio_is_the_median_of_the_pairs() -> None:
    found = Comparison("x", "s", (1.0, 2.0, 30.0), (1.0, 4.0, 10.0))
    assert found.ratio == 1.0


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [
        (Target(at_least=1.3), 1.3, True),
        (Target(at_least=1.3), 1.29, False),
        (Target(at_most=0.25), 0.25, True),
        (Target(at_most=0.25), 0.26, False),
        (Target(), 7.0, None),
    ],
)
def test_a_target_includes_its_border(target: Target, value: float, met: bool | None) -> None:
    assert target.is_met(value) is met


def test_lines_name_ratio_target_and_verdict() -> None:
    found = Comparison("output", "tokens/s", (2.0,), (1.0,), Target(at_least=3.0))
    assert found.line() == "ratio output: 2.000 >= 3 MISSED"
    assert Limit("memory", "GB", 1.0, Target(at_most=1.5)).line() == "value memory: 1.000 GB <= 1.5 met"


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 50), (99, 99), (100, 100)])
def test_percentile_is_the_nearest_rank(percent: float, value: float) -> None:
    assert percentile(range(100, 0, -1), percent) == value


def test_percentile_of_nothing_is_nan() -> None:
    assert math.isnan(percentile([], 50))


def test_untargeted_findings_do_not_fail_a_run() -> None:
    free, missed = Comparison("a", "s", (2.0,), (1.0,)), Limit("b", "GB", 2.0, Target(at_most=1.0))
    assert all_met([free])
    assert not all_met([free, missed])


def test_json_holds_every_round(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_json([Comparison("a", "s", (2.0, 4.0), (1.0, 1.0))], path, {"cores": "2"})
    written = json.loads(path.read_text())
    assert written["findings"][0]["project"] == [2.0, 4.0]
    assert written["findings"][0]["ratio"] == 3.0
