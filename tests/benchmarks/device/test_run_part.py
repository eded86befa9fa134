"""Children that end in every way there is; each is a few lines of Python in the place of the real one."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.device.findings import Outcome
from benchmarks.device.run_part import Ran, describe_end, run_part
from benchmarks.device.time_budget import Share

WRITE = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from benchmarks.device.findings import Finding, FindingLog, Outcome, Verdict
order = json.loads(sys.argv[1])
log = FindingLog(Path(order["path"]))
log.add(Finding("first", Verdict.PASS))
"""
PATIENT = Share(60.0, 60.0)


def run(code: str, share: Share = PATIENT) -> Ran:
    return run_part("rates", "m", True, share, (sys.executable, "-c", WRITE + code))


def test_a_child_that_ends_well() -> None:
    ran = run("log.note('engine:m', {'forward': 'flat'}); log.end(Outcome.DONE)")
    assert ran.result.outcome is Outcome.DONE
    assert [finding.name for finding in ran.result.findings] == ["first"]
    assert ran.notes == {"engine:m": {"forward": "flat"}}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise RuntimeError('no such kernel')", "no such kernel"),
        (
            "print('out of memory', flush=True); os.kill(os.getpid(), signal.SIGKILL)",
            "SIGKILL: out of memory",
        ),
        ("os.abort()", "SIGABRT: it printed nothing"),
        ("sys.exit(3)", "exit code 3"),
    ],
)
def test_a_child_that_dies_is_reported_with_its_last_words(code: str, reason: str) -> None:
    result = run(code).result
    assert result.outcome is Outcome.CRASHED
    assert reason in result.reason
    assert [finding.name for finding in result.findings] == ["first"]


def test_a_child_whose_time_is_over_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """It ignores the request to end, and its own child would outlive it."""
    mark = tmp_path / "pid"
    grandchild = "[sys.executable, '-c', 'import time; time.sleep(600)']"
    code = f"""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen({grandchild})
Path({str(mark)!r}).write_text(str(child.pid))
time.sleep(600)
"""
    started = time.monotonic()
    result = run(code, Share(1.0, 8.0)).result
    assert result.outcome is Outcome.CUT
    assert [finding.name for finding in result.findings] == ["first"]
    assert time.monotonic() - started < 300
    assert is_gone(int(mark.read_text()))


def is_gone(pid: int) -> bool:
    """Or a zombie that waits for its new parent."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_child_may_have_nothing_to_do() -> None:
    result = run("log.end(Outcome.SKIPPED, 'pytest is not installed')").result
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "pytest is not installed")


def test_ends_in_words() -> None:
    assert [describe_end(code) for code in (2, -11, -250)] == ["exit code 2", "signal SIGSEGV", "signal 250"]
