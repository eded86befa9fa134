"""The command over a fake device: no child is started."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.device.__main__ import main, parse
from benchmarks.device.child import MACHINE
from benchmarks.device.findings import Finding, Outcome, PartResult, Verdict
from benchmarks.device.run_part import Ran
from benchmarks.device.shapes import REAL, TINY
from benchmarks.device.time_budget import Share
from tests.engine.fake_devices import H200, M2_AIR

Run = Callable[[str, str, bool, Share], Ran]


class FakeDevice:
    """Notes what it is asked to run; some parts end badly."""

    def __init__(self, info: dict[str, Any], is_cpu: bool = False, **ends: Any) -> None:
        self._machine = {"device": "fake", "device_info": info, "is_cpu": is_cpu}
        self._ends = ends
        self.asked: list[tuple[str, str, bool]] = []

    def __call__(self, part: str, model: str, is_tiny: bool, share: Share) -> Ran:
        if part == MACHINE:
            return Ran(PartResult(part, "", Outcome.DONE), {MACHINE: self._machine})
        self.asked.append((part, model, is_tiny))
        end = self._ends.get(part, PartResult("", outcome=Outcome.DONE))
        if isinstance(end, BaseException):
            raise end
        result = PartResult(part, model, end.outcome, end.reason, 1.0, end.findings)
        return Ran(result, {f"engine:{model}": {"tuning": {"rows": 8}}} if model else {})


def run(tmp_path: Path, device: Run, *argv: str) -> tuple[int, dict[str, Any], str]:
    paths = ["--json", str(tmp_path / "r.json"), "--markdown", str(tmp_path / "r.md")]
    code = main([*paths, *argv], device)
    return code, json.loads((tmp_path / "r.json").read_text()), (tmp_path / "r.md").read_text()


def test_a_small_mac_runs_every_part_with_the_models_that_fit(tmp_path: Path) -> None:
    device = FakeDevice(M2_AIR)
    code, report, page = run(tmp_path, device)
    assert code == 0
    assert {part for part, _, _ in device.asked} == {
        "sampling",
        "correctness",
        "rates",
        "stall",
        "prefix",
        "memory",
        "tests",
    }
    models = {model for _, model, _ in device.asked if model}
    assert "qwen3-8b-4bit" in models
    assert set(report["models_left_out"]) == {shape.name for shape in REAL} - models
    assert not any(is_tiny for _, _, is_tiny in device.asked)
    assert report["tuning"]["qwen3-8b-4bit"] == {"rows": 8}
    assert "Apple M2" in page


def test_stall_prefix_and_memory_take_one_model_of_each_kind(tmp_path: Path) -> None:
    device = FakeDevice(H200)
    run(tmp_path, device, "--minutes", "60")
    for part in ("stall", "prefix", "memory"):
        models = [model for name, model, _ in device.asked if name == part]
        assert models == ["qwen3-8b-4bit", "lfm2-1.2b-bf16"]


def test_a_part_that_crashes_or_is_cut_takes_no_other_with_it(tmp_path: Path) -> None:
    crashed = PartResult("", outcome=Outcome.CRASHED, reason="signal SIGKILL: out of memory")
    device = FakeDevice({}, is_cpu=True, rates=crashed, stall=PartResult("", outcome=Outcome.CUT))
    code, report, page = run(tmp_path, device)
    assert code == 1
    words = {part["part"]: part["word"] for part in report["parts"]}
    assert words == {
        "sampling": "PASS",
        "correctness": "PASS",
        "rates": "CRASHED",
        "stall": "CUT",
        "prefix": "PASS",
        "memory": "PASS",
        "tests": "PASS",
    }
    assert "out of memory" in page
    assert all(is_tiny for _, _, is_tiny in device.asked)


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.FAIL, 1), (Verdict.SLOW, 0)])
def test_slow_is_no_failure(tmp_path: Path, verdict: Verdict, code: int) -> None:
    found = PartResult("", outcome=Outcome.DONE, findings=[Finding("x", verdict)])
    assert run(tmp_path, FakeDevice({}, is_cpu=True, prefix=found))[0] == code


def test_after_ctrl_c_the_report_has_what_was_found(tmp_path: Path) -> None:
    code, report, _ = run(tmp_path, FakeDevice({}, is_cpu=True, rates=KeyboardInterrupt()))
    assert code == 130
    words = [part["word"] for part in report["parts"]]
    assert "PASS" in words
    assert {part["reason"] for part in report["parts"] if part["part"] == "tests"} == {
        "the check was ended before"
    }


def test_so_it_has_after_a_signal_to_end(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def run_until_ended(part: str, model: str, is_tiny: bool, share: Share) -> Ran:
        if part == "rates":
            os.kill(os.getpid(), signal.SIGTERM)
        return FakeDevice({}, is_cpu=True)(part, model, is_tiny, share)

    code, report, _ = run(tmp_path, run_until_ended)
    assert code == 130
    assert [part["word"] for part in report["parts"] if part["part"] == "rates"] == ["SKIPPED"] * len(TINY)
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_time_is_a_reason(tmp_path: Path) -> None:
    device = FakeDevice({}, is_cpu=True)
    code, report, _ = run(tmp_path, device, "--minutes", "0.01")
    assert code == 0
    assert device.asked == []
    assert all("--minutes" in part["reason"] for part in report["parts"])


def test_a_machine_whose_mlx_does_not_start_is_reported(tmp_path: Path) -> None:
    def broken(part: str, model: str, is_tiny: bool, share: Share) -> Ran:
        return Ran(PartResult(part, "", Outcome.CRASHED, "ImportError: libcuda.so.1"), {})

    code, report, page = run(tmp_path, broken)
    assert code == 1
    assert [part["part"] for part in report["parts"]] == [MACHINE]
    assert "libcuda.so.1" in page


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    device = FakeDevice({}, is_cpu=True)
    run(tmp_path, device, "--only", "sampling", "--only", "rates:tiny-lfm2-bf16")
    assert [asked[:2] for asked in device.asked] == [("sampling", ""), ("rates", "tiny-lfm2-bf16")]


@pytest.mark.parametrize("argv", [["--only", "speed"], ["--minutes", "0"], ["--sizes", "huge"]])
def test_what_cannot_be_is_refused_by_name(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(argv)
    assert end.value.code == 2
    assert argv[0] in capsys.readouterr().err
