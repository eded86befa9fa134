"""The report: every part's findings and what the machine is, as JSON and as a page for a person."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.device.findings import Outcome, PartResult
from benchmarks.device.markdown import render
from benchmarks.device.parts import Order

_TIME = "%Y-%m-%d %H:%M:%S %z"


@dataclass(slots=True)
class DeviceReport:
    """Grows part by part; whoever reads it finds it whole at any time."""

    started: str = field(default_factory=lambda: time.strftime(_TIME))
    machine: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # model -> why it was not built
    results: list[PartResult] = field(default_factory=list)
    ended: str = ""  # "" while it runs

    @property
    def has_failed(self) -> bool:
        return any(result.has_failed for result in self.results)

    def expect(self, orders: Iterable[Order]) -> None:
        """What is to come; where it does not, this is what the report says of it."""
        for order in orders:
            model = order.shape.name if order.shape else ""
            self.results.append(
                PartResult(order.part.name, model, Outcome.SKIPPED, "the check was ended before")
            )

    def finish(self) -> None:
        self.ended = time.strftime(_TIME)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "started": self.started,
            "ended": self.ended or "not yet",
            "summary": dict(Counter(result.word for result in self.results)),
            "machine": self.machine,
            "models_left_out": self.left_out,
            "parts": [asdict(result) | {"word": result.word} for result in self.results],
            "notes": self.notes,
            "tuning": tunings(self.notes),
        }

    def write(self, json_path: Path, markdown_path: Path) -> None:
        values = self.as_dict()
        for path, text in (
            (json_path, json.dumps(values, indent=2, default=str) + "\n"),
            (markdown_path, render(values)),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def tunings(notes: dict[str, Any]) -> dict[str, Any]:
    """What each engine says it measured at load, by model; none where it measures nothing."""
    found = {
        name.removeprefix("engine:"): note["tuning"]
        for name, note in notes.items()
        if name.startswith("engine:") and note.get("tuning")
    }
    return found
