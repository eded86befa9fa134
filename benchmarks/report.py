"""What a comparison found: paired ratios against their targets, as a table, lines and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

TABLE_WIDTH = 110  # characters; a pipe has no width of its own


@dataclass(frozen=True, slots=True)
class Target:
    """What a ratio (project / reference) must reach; None: shown, not judged."""

    at_least: float | None = None
    at_most: float | None = None

    def is_met(self, value: float) -> bool | None:
        if self.at_least is None and self.at_most is None:
            return None
        return value >= (self.at_least or -math.inf) and value <= (
            math.inf if self.at_most is None else self.at_most
        )

    def __str__(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return "" if self.at_most is None else f"<= {self.at_most:g}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measured quantity over all rounds: ``project[i]`` and ``reference[i]`` are a pair."""

    name: str
    unit: str
    project: tuple[float, ...]
    reference: tuple[float, ...]
    target: Target = Target()

    @property
    def ratio(self) -> float:
        """Median of the rounds' ratios: a drift of the machine between rounds cancels out."""
        return median(ours / theirs for ours, theirs in zip(self.project, self.reference, strict=True))

    @property
    def is_met(self) -> bool | None:
        return self.target.is_met(self.ratio)

    def line(self) -> str:
        verdict = {True: "met", False: "MISSED", None: "no target"}[self.is_met]
        return " ".join(filter(None, (f"ratio {self.name}: {self.ratio:.3f}", str(self.target), verdict)))


@dataclass(frozen=True, slots=True)
class Limit:
    """One measured quantity of the project alone, against an absolute limit."""

    name: str
    unit: str
    value: float
    target: Target

    @property
    def is_met(self) -> bool | None:
        return self.target.is_met(self.value)

    def line(self) -> str:
        verdict = {True: "met", False: "MISSED", None: "no target"}[self.is_met]
        value = f"value {self.name}: {self.value:.3f} {self.unit}"
        return " ".join(filter(None, (value, str(self.target), verdict)))


Finding = Comparison | Limit


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest-rank percentile; NaN of nothing."""
    if not values:
        return math.nan
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


def print_report(findings: Sequence[Finding], title: str, reference_name: str) -> None:
    """The table for people, then one stable line each for everything else."""
    console = Console(width=TABLE_WIDTH)
    table = Table(title=title, title_justify="left")
    for heading in ("measured", "unit", "project", reference_name, "ratio", "target", ""):
        table.add_column(heading, justify="left" if heading in ("measured", "unit") else "right")
    for finding in findings:
        table.add_row(*_row(finding))
    console.print(table)
    for finding in findings:
        print(finding.line())


def _row(finding: Finding) -> tuple[str, ...]:
    mark = {True: "[green]✔[/]", False: "[red]✘[/]", None: ""}[finding.is_met]
    if isinstance(finding, Limit):
        return (finding.name, finding.unit, f"{finding.value:.3g}", "", "", str(finding.target), mark)
    ours, theirs = median(finding.project), median(finding.reference)
    cells = (f"{ours:.3g}", f"{theirs:.3g}", f"{finding.ratio:.2f}", str(finding.target), mark)
    return (finding.name, finding.unit, *cells)


def write_json(findings: Sequence[Finding], path: Path, machine: dict[str, str]) -> None:
    """Everything measured, every round, so that a later reader can judge for themselves."""
    rows = []
    for finding in findings:
        row = asdict(finding) | {"is_met": finding.is_met}
        rows.append(row | ({"ratio": finding.ratio} if isinstance(finding, Comparison) else {}))
    path.write_text(json.dumps({"machine": machine, "findings": rows}, indent=2) + "\n")


def all_met(findings: Sequence[Finding]) -> bool:
    return all(finding.is_met is not False for finding in findings)
