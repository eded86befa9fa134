"""Builds models with random weights in the shapes people run, and checks this device with them.

Tokens against plain mlx-lm, sampling by its distribution, rates against mlx-lm, the pause that a long
prompt makes, prefix hits, memory, the engine's own tests; a report as JSON and as a page of markdown.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from benchmarks.device.child import MACHINE
from benchmarks.device.findings import Outcome, PartResult
from benchmarks.device.fit import Choice, choose_models
from benchmarks.device.parts import PARTS, Order, plan
from benchmarks.device.report import DeviceReport
from benchmarks.device.run_part import Ran, run_part
from benchmarks.device.shapes import SHAPES, Shape
from benchmarks.device.time_budget import Share, TimeBudget

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
DEFAULT_MINUTES = 8.0
_MACHINE_SHARE = Share(60.0, 120.0)  # the first import, and on a GPU the first kernel

RunPart = Callable[[str, str, bool, Share], Ran]


class Interrupted(Exception):
    """By Ctrl-C or SIGTERM: the report is written all the same."""


def main(argv: Sequence[str] | None = None, run: RunPart = run_part) -> int:
    """Returns 0 where nothing failed, 1 where something did, 130 where it was interrupted."""
    options = parse(argv)
    report = DeviceReport()
    try:
        with interrupted_by(signal.SIGTERM):
            check(options, report, run)
        code = 1 if report.has_failed else 0
    except (KeyboardInterrupt, Interrupted):
        code = 130
    finally:
        report.finish()
        report.write(options.json, options.markdown)
    print(f"\nReport: {options.markdown} and {options.json}")
    return code


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.device", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = ", ".join(part.name for part in PARTS)
    parser.add_argument("--sizes", choices=("auto", "tiny"), default="auto", help="default: by the device")
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES, help="for all of it (default 8)")
    parser.add_argument("--json", type=Path, default=RESULTS / "device-check.json")
    parser.add_argument("--markdown", type=Path, default=RESULTS / "device-check.md")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PART",
        help=f"{names}, a model, or part:model; repeatable",
    )
    options = parser.parse_args(argv)
    if options.minutes <= 0:
        parser.error("--minutes: must be more than 0")
    if unknown := set(options.only) - known_names():
        parser.error(f"--only: {', '.join(sorted(unknown))}: no such part or model; parts are {names}")
    return options


def known_names() -> set[str]:
    parts = {part.name for part in PARTS}
    return parts | set(SHAPES) | {f"{part}:{shape}" for part in parts for shape in SHAPES}


def check(options: argparse.Namespace, report: DeviceReport, run: RunPart) -> None:
    """Fills in ``report`` and writes it after each part."""
    budget = TimeBudget(60 * options.minutes)
    machine = run(MACHINE, "", False, _MACHINE_SHARE)
    report.machine = machine.notes.get(MACHINE, {})
    if not report.machine:
        report.results.append(machine.result)
        return
    is_cpu = bool(report.machine["is_cpu"])
    choices = choose_models(report.machine["device_info"], is_cpu, options.sizes, budget.left_seconds)
    report.left_out = {choice.shape.name: choice.reason for choice in choices if not choice.is_taken}
    is_tiny = is_cpu or options.sizes == "tiny"
    orders = plan(_taken(choices), options.only)
    report.expect(orders)
    for index, order in enumerate(orders):
        result = _run_order(order, [o.part.weight for o in orders[index:]], budget, is_tiny, report, run)
        report.results[index] = result
        report.write(options.json, options.markdown)
        line = f"{result.word:<8} {result.label:<40} {result.seconds:5.0f} s  {_last_line(result)}"
        print(line.rstrip(), flush=True)


def _taken(choices: Sequence[Choice]) -> list[Shape]:
    return [choice.shape for choice in choices if choice.is_taken]


def _run_order(
    order: Order,
    weights: Sequence[float],
    budget: TimeBudget,
    is_tiny: bool,
    report: DeviceReport,
    run: RunPart,
) -> PartResult:
    model = order.shape.name if order.shape else ""
    share = budget.share(weights, order.part.floor_seconds)
    if share is None:
        return PartResult(order.part.name, model, Outcome.SKIPPED, "no time was left; give more --minutes")
    ran = run(order.part.name, model, is_tiny, share)
    report.notes |= ran.notes
    return ran.result


def _last_line(result: PartResult) -> str:
    return result.reason.strip().splitlines()[-1][:80] if result.reason.strip() else ""


@contextmanager
def interrupted_by(number: signal.Signals) -> Iterator[None]:
    """Raises Interrupted where the signal arrives."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(number, interrupt)
    try:
        yield
    finally:
        signal.signal(number, before)


if __name__ == "__main__":
    sys.exit(main())
