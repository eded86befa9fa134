from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.device import engine_tests
from benchmarks.device.engine_tests import ROOT, environment, finding, marked_files, run_for
from benchmarks.device.findings import FindingLog, SkipPartError, Verdict
from benchmarks.device.parts import Context
from benchmarks.device.time_budget import Deadline

TESTS = """
import pytest
def test_good(): pass
def test_skipped(): pytest.skip("no GPU")
"""
BAD = """
def test_bad(): assert 1 == 2
"""


def run_pytest(folder: Path, text: str) -> Path:
    (folder / "test_some.py").write_text(text)
    junit = folder / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={junit}", "-p", "no:cacheprovider", "."]
    subprocess.run(command, cwd=folder, capture_output=True)
    return junit


def test_what_pytest_reports_is_one_finding(tmp_path: Path) -> None:
    found = finding(run_pytest(tmp_path, TESTS))
    assert (found.verdict, found.value, found.reference, found.detail) == (Verdict.PASS, 1, 2, "1 skipped")


def test_failures_are_named(tmp_path: Path) -> None:
    found = finding(run_pytest(tmp_path, TESTS + BAD))
    assert found.verdict is Verdict.FAIL
    assert found.detail == "1 skipped; failed: test_some::test_bad"


SLOW = """
import time
def test_first(): pass
def test_slow(): time.sleep(600)
"""


def test_what_ran_before_the_time_was_over_is_reported(tmp_path: Path) -> None:
    """Where pytest needs longer than that to start, no test has run: then it gets more."""
    (tmp_path / "test_some.py").write_text(SLOW)
    junit = tmp_path / "tests.xml"
    options = ["-q", f"--junitxml={junit}", "-p", "no:cacheprovider", "."]
    call = [sys.executable, "-m", "pytest", *options]
    seconds = 1.0
    while (code := run_for(call, tmp_path, dict(os.environ), seconds)) and not has_run(junit):
        seconds *= 2
    assert code == 2
    found = finding(junit, is_whole=False)
    assert (found.verdict, found.value) == (Verdict.PASS, 1)
    assert "--minutes" in found.detail


def has_run(junit: Path) -> bool:
    return junit.is_file() and 'name="test_first"' in junit.read_text()


def test_without_a_report_it_failed(tmp_path: Path) -> None:
    assert finding(tmp_path / "none.xml").verdict is Verdict.FAIL


def test_without_pytest_there_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    context = Context(FindingLog(tmp_path / "lines"), Deadline(0.0), True)
    with pytest.raises(SkipPartError, match=r"requirements-dev\.txt"):
        engine_tests.run(context)


def test_float32_is_float32() -> None:
    assert environment({"HOME": "/", "MLX_ENABLE_TF32": "1"}) == {"HOME": "/", "MLX_ENABLE_TF32": "0"}


def test_only_files_with_the_mark_are_read() -> None:
    names = {path.name for path in marked_files(ROOT / "tests")}
    assert {"test_generator.py", "test_gpu_platform.py", "test_store.py"} <= names
    assert "test_openai_sdk.py" not in names
