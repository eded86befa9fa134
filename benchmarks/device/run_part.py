"""Runs one part as a child process: what becomes of the child, the parent goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.device.child import ChildOrder
from benchmarks.device.findings import ChildLines, Outcome, PartResult, read_lines
from benchmarks.device.time_budget import Share

ROOT = Path(__file__).resolve().parents[2]
_CHILD = (sys.executable, "-m", "benchmarks.device.child")
_END_SECONDS = 3.0  # between asking a child to end and ending it
_TAIL_CHARS = 1500


@dataclass(frozen=True, slots=True)
class Ran:
    """A child's end."""

    result: PartResult
    notes: dict[str, Any]


def run_part(part: str, model: str, is_tiny: bool, share: Share, command: Sequence[str] = _CHILD) -> Ran:
    """Waits for the child, for ``share.limit_seconds`` at most."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="device-check-") as folder:
        findings, printed = Path(folder) / "findings.jsonl", Path(folder) / "printed.txt"
        order = ChildOrder(part, model, is_tiny, started + share.aim_seconds, str(findings))
        code = _run_child([*command, order.as_json()], printed, share.limit_seconds)
        lines, tail = read_lines(findings), _tail(printed)
    seconds = time.monotonic() - started
    return Ran(as_result(part, model, code, lines, tail, seconds), lines.notes)


def as_result(
    part: str, model: str, code: int | None, lines: ChildLines, tail: str, seconds: float
) -> PartResult:
    """``code``: of the process, None where its time was over."""
    result = PartResult(part, model, Outcome.DONE, lines.reason, seconds, lines.findings)
    if lines.outcome is not None:
        result.outcome = lines.outcome
    elif code is None:
        result.outcome, result.reason = Outcome.CUT, f"ended after {seconds:.0f} s"
    else:
        result.outcome, result.reason = Outcome.CRASHED, f"{describe_end(code)}: {tail}"
    return result


def describe_end(code: int) -> str:
    """A process's return code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _run_child(command: Sequence[str], printed: Path, limit_seconds: float) -> int | None:
    with printed.open("wb") as output:
        # A session of its own: Ctrl-C is the parent's to answer, and nothing of the child outlives it.
        child = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return child.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        _signal(child, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_END_SECONDS)
    _signal(child, signal.SIGKILL)
    child.wait()


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    """To the child and its own children, of which some may be left when it is gone."""
    # macOS says the latter of a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _tail(printed: Path) -> str:
    text = printed.read_text(encoding="utf-8", errors="replace").strip()
    return text[-_TAIL_CHARS:] or "it printed nothing"
