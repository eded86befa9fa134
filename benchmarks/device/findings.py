"""What a part of the check found, as lines of JSON, each written at once: a killed part keeps its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Verdict(StrEnum):
    """Of one finding. Only FAIL says that something is wrong."""

    PASS = "PASS"
    FAIL = "FAIL"
    SLOW = "SLOW"  # right, and slower than its target
    INFO = "INFO"  # a figure without a target


class Outcome(StrEnum):
    """Of a whole part."""

    DONE = "DONE"
    SKIPPED = "SKIPPED"  # never begun, or nothing to do here; ``reason`` says why
    CUT = "CUT"  # its time was over; what it found before stands
    CRASHED = "CRASHED"  # its process died; ``reason`` has the end of what it printed


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    name: str
    verdict: Verdict
    value: float | None = None
    unit: str = ""
    reference: float | None = None  # the same quantity of mlx-lm, or what was expected
    ratio: float | None = None  # value / reference; of several rounds the median of their ratios
    target: str = ""  # of the ratio or the value, for a person
    detail: str = ""


@dataclass(slots=True)
class PartResult:
    """One part of the check, run or not."""

    part: str
    model: str = ""  # "" where the part needs none
    outcome: Outcome = Outcome.SKIPPED
    reason: str = ""
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"{self.part}:{self.model}" if self.model else self.part

    @property
    def has_failed(self) -> bool:
        return self.outcome is Outcome.CRASHED or any(f.verdict is Verdict.FAIL for f in self.findings)

    @property
    def word(self) -> str:
        """PASS, FAIL, SLOW, SKIPPED, CUT or CRASHED."""
        if self.outcome in (Outcome.CRASHED, Outcome.SKIPPED):
            return str(self.outcome)
        if self.has_failed:
            return str(Verdict.FAIL)
        if self.outcome is Outcome.CUT:
            return str(self.outcome)
        is_slow = any(finding.verdict is Verdict.SLOW for finding in self.findings)
        return str(Verdict.SLOW if is_slow else Verdict.PASS)


class SkipPartError(Exception):
    """This part has nothing to say on this machine; the message says why."""


class FindingLog:
    """The child's end of the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, finding: Finding) -> None:
        self._write({"finding": asdict(finding)})

    def note(self, name: str, value: Any) -> None:
        """Something for the report's head: the machine, what was tuned."""
        self._write({"note": {name: value}})

    def end(self, outcome: Outcome, reason: str = "") -> None:
        self._write({"end": {"outcome": outcome, "reason": reason}})

    def _write(self, line: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")


@dataclass(slots=True)
class ChildLines:
    """All that a child wrote before it ended, however that was."""

    findings: list[Finding] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None  # None: it did not come to its end
    reason: str = ""


def read_lines(path: Path) -> ChildLines:
    found = ChildLines()
    for line in _whole_lines(path):
        if "finding" in line:
            found.findings.append(_finding(line["finding"]))
        elif "note" in line:
            found.notes |= line["note"]
        else:
            found.outcome, found.reason = Outcome(line["end"]["outcome"]), line["end"]["reason"]
    return found


def _finding(values: dict[str, Any]) -> Finding:
    return Finding(**(values | {"verdict": Verdict(values["verdict"])}))


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """A process that was killed may have left half a line."""
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            return
