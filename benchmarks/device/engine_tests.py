"""The engine's own tests that are marked ``device``, where pytest and the tests are there."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.device.findings import Finding, SkipPartError, Verdict
from benchmarks.device.parts import Context

ROOT = Path(__file__).resolve().parents[2]
_NEEDED = ("pytest", "hypothesis")
_MARK = "pytest.mark.device"
_MOST_NAMES = 10
_INTERRUPTED, _NO_TESTS = 2, 5  # exit codes of pytest
_SHARE_FOR_TESTS = 0.85  # of the part's time; the rest is for the report, which comes last


def run(context: Context) -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        raise SkipPartError(f"not installed: {names}; get it with: pip install -r requirements-dev.txt")
    if not (ROOT / "tests").is_dir():
        raise SkipPartError("the tests are not installed; run it from the repository")
    with tempfile.TemporaryDirectory(prefix="device-check-") as folder:
        junit = Path(folder) / "tests.xml"
        seconds = _SHARE_FOR_TESTS * context.deadline.left_seconds
        call = command(junit, marked_files(ROOT / "tests"))
        code = run_for(call, ROOT, environment(os.environ), seconds)
        if code == _NO_TESTS:
            raise SkipPartError("no test is marked `device`")
        context.log.add(finding(junit, is_whole=code != _INTERRUPTED))


def run_for(call: Sequence[str], folder: Path, variables: dict[str, str], seconds: float) -> int:
    """pytest's exit code. When its time is over it is interrupted, and reports the tests that it has run."""
    tests = subprocess.Popen(call, cwd=folder, env=variables)
    try:
        return tests.wait(seconds)
    except subprocess.TimeoutExpired:
        tests.send_signal(signal.SIGINT)
        return tests.wait()


def marked_files(tests: Path) -> list[Path]:
    """Those that name the mark: the others need packages of their own, and time to be read."""
    return [path for path in sorted(tests.rglob("test_*.py")) if _MARK in path.read_text(encoding="utf-8")]


def command(junit: Path, files: Sequence[Path]) -> list[str]:
    options = ["-q", "-m", "device", "-p", "no:cacheprovider", f"--junitxml={junit}"]
    return [sys.executable, "-m", "pytest", *options, *map(str, files)]


def environment(variables: Iterable[tuple[str, str]] | os._Environ[str]) -> dict[str, str]:
    """Float32 products are to be float32: the tests compare far below what TF32 keeps of a number."""
    return dict(variables) | {"MLX_ENABLE_TF32": "0"}


def finding(junit: Path, is_whole: bool = True) -> Finding:
    """``is_whole``: pytest came to its end."""
    if not junit.is_file():
        return Finding("tests", Verdict.FAIL, detail="pytest ended without a report")
    cases = list(ElementTree.parse(junit).iter("testcase"))
    if not is_whole and cases and not has_failed(cases[-1]):
        cases.pop()  # it was under way
    failed = [name_of(case) for case in cases if has_failed(case)]
    num_skipped = sum(case.find("skipped") is not None for case in cases)
    num_passed = len(cases) - len(failed) - num_skipped
    details = [f"{num_skipped} skipped"] if num_skipped else []
    if not is_whole:
        details.append("no time was left for the others; give more --minutes")
    if failed:
        more = f" and {len(failed) - _MOST_NAMES} more" if len(failed) > _MOST_NAMES else ""
        details.append("failed: " + ", ".join(failed[:_MOST_NAMES]) + more)
    verdict = Verdict.FAIL if failed or not num_passed else Verdict.PASS
    return Finding("tests passed", verdict, num_passed, "tests", len(cases), detail="; ".join(details))


def has_failed(case: ElementTree.Element) -> bool:
    return case.find("failure") is not None or case.find("error") is not None


def name_of(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name', '')}"
