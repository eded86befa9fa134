"""A device report as a page of markdown, to be attached to an issue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_COLUMNS = ("", "measured", "value", "expected", "ratio", "target", "")
_MOST_REASON_CHARS = 160


def render(report: Mapping[str, Any]) -> str:
    lines = [*_head(report), *_overview(report["parts"]), *_details(report["parts"])]
    lines += [*_tuning(report["tuning"]), *_machine(report["machine"]), *_crashes(report["parts"])]
    return "\n".join(lines) + "\n"


def _head(report: Mapping[str, Any]) -> Iterator[str]:
    machine = report["machine"]
    name = machine.get("device_info", {}).get("device_name", "?")
    yield f"# Device check: {name} ({machine.get('device', '?')})"
    yield ""
    counts = ", ".join(f"{count} {word}" for word, count in sorted(report["summary"].items()))
    yield f"{report['started']} to {report['ended']}: {counts or 'nothing ran'}."
    for model, reason in report["models_left_out"].items():
        yield f"- {model} left out: {_cell(reason)}"
    yield ""


def _overview(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "| part | model | result | s | |"
    yield "|---|---|---|---|---|"
    for part in parts:
        seconds = f"{part['seconds']:.0f}"
        yield _row((part["part"], part["model"], part["word"], seconds, _short(part["reason"])))
    yield ""


def _details(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for part in parts:
        if not part["findings"]:
            continue
        yield f"## {part['part']} {part['model']}".rstrip()
        yield ""
        yield _row(_COLUMNS)
        yield "|" + "---|" * len(_COLUMNS)
        for finding in part["findings"]:
            yield _row(_finding_cells(finding))
        yield ""


def _finding_cells(finding: Mapping[str, Any]) -> tuple[str, ...]:
    unit = f" {finding['unit']}" if finding["unit"] else ""
    return (
        str(finding["verdict"]),
        finding["name"],
        _number(finding["value"], unit),
        _number(finding["reference"], unit),
        _number(finding["ratio"], ""),
        finding["target"],
        finding["detail"],
    )


def _tuning(tuning: Mapping[str, Any]) -> Iterator[str]:
    if not tuning:
        return
    yield "## Tuned at load"
    yield ""
    for model, values in tuning.items():
        yield f"- {model}: `{_cell(str(values))}`"
    yield ""


def _machine(machine: Mapping[str, Any]) -> Iterator[str]:
    yield "## Machine"
    yield ""
    for name, value in machine.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        yield f"- {name}: {_cell(str(shown)) or 'none'}"
    yield ""


def _crashes(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for part in parts:
        if part["word"] != "CRASHED":
            continue
        yield f"## What {part['part']} {part['model']}".rstrip() + " said at its end"
        yield ""
        yield "```"
        yield from part["reason"].replace("```", "'''").splitlines()
        yield "```"
        yield ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    """A pipe or a line's end would break the table."""
    return " ".join(text.split()).replace("|", "\\|")


def _short(text: str) -> str:
    """Of what a process printed the last line: in Python that is the error."""
    last = text.strip().splitlines()[-1] if text.strip() else ""
    return last if len(last) <= _MOST_REASON_CHARS else last[:_MOST_REASON_CHARS] + "…"


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text + unit
