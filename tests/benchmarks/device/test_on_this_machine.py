"""The parts themselves, over tiny models on this machine's device: all that they judge is right here."""

from __future__ import annotations

import importlib
import time
from pathlib import Path

import pytest

from benchmarks.device.child import MACHINE, ChildOrder
from benchmarks.device.child import main as child_main
from benchmarks.device.child import run as run_order
from benchmarks.device.findings import FindingLog, Outcome, SkipPartError, Verdict, read_lines
from benchmarks.device.parts import PARTS, Context, plan
from benchmarks.device.shapes import SHAPES, TINY
from benchmarks.device.time_budget import Deadline


@pytest.mark.parametrize(
    ("part", "model"),
    [
        ("correctness", "tiny-lfm2-bf16"),
        ("prefix", "tiny-lfm2-bf16"),
        ("memory", "tiny-lfm2-bf16"),
        ("rates", "tiny-lfm2-bf16"),
        ("stall", "tiny-lfm2-bf16"),
    ],
)
def test_a_part_finds_nothing_wrong(part: str, model: str, tmp_path: Path) -> None:
    order = ChildOrder(part, model, True, time.monotonic(), str(tmp_path / "lines"))
    assert child_main([order.as_json()]) == 0
    lines = read_lines(tmp_path / "lines")
    assert lines.outcome is Outcome.DONE
    assert lines.findings
    assert [finding for finding in lines.findings if finding.verdict is Verdict.FAIL] == []


def test_the_machine_says_what_it_is(tmp_path: Path) -> None:
    log = FindingLog(tmp_path / "lines")
    run_order(ChildOrder(MACHINE, "", False, 0.0, ""), log)
    machine = read_lines(tmp_path / "lines").notes[MACHINE]
    assert machine["device"] in ("cpu", "metal", "cuda")
    assert machine["packages"]["mlx-lm"]
    assert machine["device_info"]["device_name"]


def test_every_part_is_a_module_that_runs() -> None:
    for part in PARTS:
        assert callable(importlib.import_module(f"benchmarks.device.{part.module}").run)
    assert {order.part.name for order in plan(TINY)} == {part.name for part in PARTS}


def test_a_cpu_is_not_asked_how_fast_it_is_at_half_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.device import rates

    monkeypatch.setattr(rates, "is_cpu_backend", lambda: True)
    context = Context(FindingLog(tmp_path / "lines"), Deadline(0.0), True, SHAPES["tiny-qwen3-4bit"])
    with pytest.raises(SkipPartError, match="CPU"):
        rates.run(context)
