from __future__ import annotations

import json
from pathlib import Path

from benchmarks.device.findings import Finding, Outcome, PartResult, Verdict
from benchmarks.device.markdown import render
from benchmarks.device.parts import plan
from benchmarks.device.report import DeviceReport
from benchmarks.device.shapes import TINY
from tests.engine.fake_devices import M2_AIR

CRASH = "exit code 1: Traceback\n  File x\nRuntimeError: [metal] | no"


def create_report() -> DeviceReport:
    report = DeviceReport()
    report.machine = {"device": "metal", "device_info": M2_AIR, "packages": {"mlx": "0.32.4"}}
    report.notes = {"engine:m": {"forward": "flat", "tuning": {"max_step_tokens": 512}}, "engine:n": {}}
    report.left_out = {"large": "needs 70 GB, 11 GB can be used"}
    report.results = [
        PartResult(
            "rates",
            "m",
            Outcome.DONE,
            findings=[
                Finding("decode, 8 rows", Verdict.SLOW, 410.2, "tokens/s", 500.0, 0.82, ">= 0.97", "a | b"),
                Finding("nothing to compare", Verdict.INFO, 0.001234, "s"),
            ],
        ),
        PartResult("stall", "m", Outcome.CRASHED, CRASH),
        PartResult("tests", "", Outcome.SKIPPED, "pytest is not installed"),
        PartResult("memory", "m", Outcome.CUT, "ended after 40 s"),
    ]
    return report


def test_the_page_says_what_each_part_came_to() -> None:
    page = render(create_report().as_dict())
    assert page.startswith("# Device check: Apple M2 (metal)\n")
    assert "1 CRASHED, 1 CUT, 1 SKIPPED, 1 SLOW" in page
    assert "| stall | m | CRASHED | 0 | RuntimeError: [metal] \\| no |" in page
    assert "| tests |  | SKIPPED | 0 | pytest is not installed |" in page
    assert "| SLOW | decode, 8 rows | 410 tokens/s | 500 tokens/s | 0.82 | >= 0.97 | a \\| b |" in page
    assert "| INFO | nothing to compare | 0.00123 s |  |  |  |  |" in page
    assert "- large left out: needs 70 GB, 11 GB can be used" in page
    assert "max_recommended_working_set_size 11453251584" in page
    assert "  File x\nRuntimeError: [metal] | no\n```" in page
    assert "## Tuned at load\n\n- m: `{'max_step_tokens': 512}`" in page


def test_a_table_has_as_many_cells_in_each_line() -> None:
    for block in render(create_report().as_dict()).split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in rows}) <= 1


def test_without_tuning_nothing_is_said_of_it() -> None:
    report = create_report()
    report.notes = {"engine:m": {"forward": "flat"}}
    assert report.as_dict()["tuning"] == {}
    assert "Tuned" not in render(report.as_dict())


def test_an_empty_report_is_one() -> None:
    assert "nothing ran" in render(DeviceReport().as_dict())


def test_both_files_are_written_into_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    report = create_report()
    report.finish()
    report.write(tmp_path / "a" / "r.json", tmp_path / "b" / "r.md")
    values = json.loads((tmp_path / "a" / "r.json").read_text())
    assert [part["word"] for part in values["parts"]] == ["SLOW", "CRASHED", "SKIPPED", "CUT"]
    assert values["ended"] == report.ended
    assert (tmp_path / "b" / "r.md").read_text() == render(report.as_dict())


def test_what_is_to_come_is_in_the_report_before_it_ran() -> None:
    report = DeviceReport()
    report.expect(plan(TINY))
    assert {result.word for result in report.results} == {"SKIPPED"}
    assert {result.reason for result in report.results} == {"the check was ended before"}
    assert not report.has_failed
