"""The engine's own tests that are marked ``device``, where pytest and the tests are there."""

from __future__ import annotations

import importlib.util
import os
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
_NO_TESTS = 5  # pytest's exit code where nothing was collected


def run(context: Context) -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        raise SkipPartError(f"not installed: {names}; get it with: pip install -r requirements-dev.txt")
    if not (ROOT / "tests").is_dir():
        raise SkipPartError("the tests are not installed; run it from the repository")
    with tempfile.TemporaryDirectory(prefix="device-check-") as folder:
        junit = Path(folder) / "tests.xml"
        code = subprocess.run(
            command(junit, marked_files(ROOT / "tests")), cwd=ROOT, env=environment(os.environ)
        ).returncode
        if code == _NO_TESTS:
            raise SkipPartError("no test is marked `device`")
        context.log.add(finding(junit))


def marked_files(tests: Path) -> list[Path]:
    """Those that name the mark: the others need packages of their own, and time to be read."""
    return [path for path in sorted(tests.rglob("test_*.py")) if _MARK in path.read_text(encoding="utf-8")]


def command(junit: Path, files: Sequence[Path]) -> list[str]:
    options = ["-q", "-m", "device", "-p", "no:cacheprovider", f"--junitxml={junit}"]
    return [sys.executable, "-m", "pytest", *options, *map(str, files)]


def environment(variables: Iterable[tuple[str, str]] | os._Environ[str]) -> dict[str, str]:
    """Float32 products are to be float32: the tests compare far below what TF32 keeps of a number."""
    return dict(variables) | {"MLX_ENABLE_TF32": "0"}


def finding(junit: Path) -> Finding:
    if not junit.is_file():
        return Finding("tests", Verdict.FAIL, detail="pytest ended without a report")
    cases = list(ElementTree.parse(junit).iter("testcase"))
    failed = [name_of(case) for case in cases if has_failed(case)]
    num_skipped = sum(case.find("skipped") is not None for case in cases)
    num_passed = len(cases) - len(failed) - num_skipped
    detail = f"{num_skipped} skipped" if num_skipped else ""
    if failed:
        more = f" and {len(failed) - _MOST_NAMES} more" if len(failed) > _MOST_NAMES else ""
        detail = "failed: " + ", ".join(failed[:_MOST_NAMES]) + more
    verdict = Verdict.FAIL if failed or not num_passed else Verdict.PASS
    return Finding("tests passed", verdict, num_passed, "tests", len(cases), detail=detail)


def has_failed(case: ElementTree.Element) -> bool:
    return case.find("failure") is not None or case.find("error") is not None


def name_of(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name', '')}"
