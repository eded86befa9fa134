from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.device.findings import Finding, FindingLog, Outcome, PartResult, Verdict, read_lines

PASSED = Finding("a", Verdict.PASS, 1.0, "tokens/s", 2.0, 0.5, ">= 0.4", "of one")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    log = FindingLog(tmp_path / "lines")
    log.add(PASSED)
    log.note("machine", {"device": "metal"})
    log.end(Outcome.SKIPPED, "no pytest")
    lines = read_lines(tmp_path / "lines")
    assert lines.findings == [PASSED]
    assert lines.notes == {"machine": {"device": "metal"}}
    assert (lines.outcome, lines.reason) == (Outcome.SKIPPED, "no pytest")


def test_half_a_line_is_nobodys_and_the_rest_stands(tmp_path: Path) -> None:
    log = FindingLog(tmp_path / "lines")
    log.add(PASSED)
    log.add(PASSED)
    text = (tmp_path / "lines").read_text()
    (tmp_path / "lines").write_text(text[:-20])
    lines = read_lines(tmp_path / "lines")
    assert lines.findings == [PASSED]
    assert lines.outcome is None
    assert read_lines(tmp_path / "none").findings == []


@pytest.mark.parametrize(
    ("outcome", "verdicts", "word", "has_failed"),
    [
        (Outcome.DONE, [Verdict.PASS, Verdict.INFO], "PASS", False),
        (Outcome.DONE, [Verdict.PASS, Verdict.SLOW], "SLOW", False),
        (Outcome.DONE, [Verdict.SLOW, Verdict.FAIL], "FAIL", True),
        (Outcome.CUT, [Verdict.PASS], "CUT", False),
        (Outcome.CUT, [Verdict.FAIL], "FAIL", True),
        (Outcome.SKIPPED, [], "SKIPPED", False),
        (Outcome.CRASHED, [Verdict.PASS], "CRASHED", True),
    ],
)
def test_a_part_is_as_good_as_its_worst(
    outcome: Outcome, verdicts: list[Verdict], word: str, has_failed: bool
) -> None:
    result = PartResult("rates", "m", outcome, findings=[Finding("x", verdict) for verdict in verdicts])
    assert (result.word, result.has_failed, result.label) == (word, has_failed, "rates:m")
