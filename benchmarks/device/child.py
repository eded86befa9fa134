"""One part of the check in a process of its own: ``python -m benchmarks.device.child '<order as JSON>'``."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from api.engine.cpu.blas.load import preload_blas
from benchmarks.device.findings import FindingLog, Outcome, SkipPartError
from benchmarks.device.parts import PARTS, Context
from benchmarks.device.shapes import SHAPES
from benchmarks.device.time_budget import Deadline

MACHINE = "machine"  # an order without a part: only says what the machine is


@dataclass(frozen=True, slots=True)
class ChildOrder:
    """What the parent tells its child."""

    part: str
    model: str
    is_tiny: bool
    deadline: float  # time.monotonic() of the whole machine: what processes share
    path: str  # of the findings

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def main(argv: list[str]) -> int:
    order = ChildOrder(**json.loads(argv[0]))
    log = FindingLog(Path(order.path))
    preload_blas()  # before mlx is imported
    try:
        run(order, log)
    except SkipPartError as error:
        log.end(Outcome.SKIPPED, str(error))
    else:
        log.end(Outcome.DONE)
    return 0


def run(order: ChildOrder, log: FindingLog) -> None:
    if order.part == MACHINE:
        from benchmarks.device.machine import describe_machine

        log.note(MACHINE, describe_machine())
        return
    part = next(part for part in PARTS if part.name == order.part)
    module = importlib.import_module(f"{__package__}.{part.module}")
    shape = SHAPES[order.model] if order.model else None
    module.run(Context(log, Deadline(order.deadline), order.is_tiny, shape))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
