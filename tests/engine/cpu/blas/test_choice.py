from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.engine.cpu.blas import choice as module
from api.engine.cpu.blas.choice import (
    UnusableLibrary,
    choose_kernels,
    kernels_in_environment,
    users_kernels,
)
from api.engine.cpu.blas.measurement import Broken, Measured, Timing
from api.engine.cpu.blas.remembered import KernelChoice

OWN, BEST = Timing("Prescott", (10.0, 31.0)), Timing("SkylakeX", (40.0, 155.0))
WON = KernelChoice("SkylakeX", 155.0, "Prescott", 31.0)


class Machine:
    """A processor, a library and a cache folder, all made up; counts how often it is measured."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.cache = folder / "root", folder / "cache"
        self.library = folder / "libopenblas.so.0"
        self.library.write_text("a library")
        self.set_flags("avx2 fma avx512f avx512dq avx512bw avx512vl avx512cd")
        self.measured = Measured("SkylakeX", BEST, OWN, is_settled=True)
        self.num_measured = 0
        monkeypatch.setattr(module, "measure_kernels", self._measure)
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        monkeypatch.setenv("XDG_CACHE_HOME", str(self.cache))

    def set_flags(self, flags: str) -> None:
        (self.root / "proc").mkdir(parents=True, exist_ok=True)
        (self.root / "proc/cpuinfo").write_text(f"model name: X\nflags: {flags}\n")

    def _measure(self, candidates: object, probe: object) -> Measured:
        self.num_measured += 1
        return self.measured

    def choose(self, num_threads: int = 0) -> KernelChoice | UnusableLibrary | None:
        return choose_kernels(str(self.library), num_threads, self.root)

    @property
    def files(self) -> list[Path]:
        return [path for path in self.cache.rglob("*") if path.is_file()]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_it_is_measured_once(machine: Machine) -> None:
    assert [machine.choose(), machine.choose()] == [WON, WON]
    assert machine.num_measured == 1


def test_the_library_s_own_choice_is_remembered_too(machine: Machine) -> None:
    machine.measured = Measured(None, OWN, OWN, is_settled=True)
    assert machine.choose() == machine.choose() == KernelChoice(None, 31.0, "Prescott", 31.0)
    assert machine.num_measured == 1


def test_another_library_processor_or_number_of_threads_is_measured(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.choose()
    machine.choose(num_threads=1)
    machine.library.write_text("a newer library")
    machine.choose()
    machine.set_flags("avx2 fma avx512f avx512dq avx512bw avx512vl avx512cd avx512_bf16")
    machine.choose()
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    machine.choose()
    assert machine.num_measured == 5


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"kernels": "SkylakeX"}',
        b'{"kernels": 7, "gflops": 1, "own_core": null, "own_gflops": null, "is_settled": true}',
        b'{"kernels": "Evil", "gflops": 1, "own_core": null, "own_gflops": null, "is_settled": true}',
        b'{"kernels": "SkylakeX", "gflops": [], "own_core": null, "own_gflops": null, "is_settled": true}',
    ],
)
def test_a_damaged_memory_is_measured_anew(damage: bytes, machine: Machine) -> None:
    machine.choose()
    (file,) = machine.files
    file.write_bytes(damage)
    assert machine.choose() == WON and machine.num_measured == 2
    assert machine.choose() == WON and machine.num_measured == 2  # and put right


def test_a_cache_that_cannot_be_written_is_no_error(machine: Machine) -> None:
    machine.cache.write_text("a file where the folder would be")
    assert machine.choose() == WON


def test_a_file_that_cannot_be_written_is_no_error(machine: Machine) -> None:
    machine.choose()
    (file,) = machine.files
    file.unlink()
    file.mkdir()
    assert machine.choose() == WON


def test_without_a_home_nothing_is_remembered(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert machine.choose() == WON


def test_what_a_busy_machine_gave_is_measured_again_later(machine: Machine) -> None:
    machine.measured = Measured("SkylakeX", BEST, OWN, is_settled=False)
    assert [machine.choose(), machine.choose()] == [WON, WON]
    assert machine.num_measured == 1
    (file,) = machine.files
    os.utime(file, (0, 0))
    machine.measured = Measured("SkylakeX", BEST, OWN, is_settled=True)
    assert machine.choose() == WON and machine.num_measured == 2
    os.utime(file, (0, 0))
    assert machine.choose() == WON and machine.num_measured == 2


def test_what_could_not_be_measured_or_does_not_work_is_not_remembered(machine: Machine) -> None:
    machine.measured = Measured(None, None, None)
    assert machine.choose() is None
    machine.measured = Measured(None, None, Broken("SIGILL"), is_settled=True)
    assert machine.choose() == UnusableLibrary("SIGILL")
    assert not machine.files


@pytest.mark.parametrize(
    ("ambient", "kernels", "inside"),
    [
        (None, None, None),
        (None, "Haswell", "Haswell"),
        ("Zen", "Haswell", "Zen"),
        ("", "Haswell", "Haswell"),
        ("", None, None),  # an empty value would have the library fall back
    ],
)
def test_the_variable_is_there_while_the_library_is_loaded(
    ambient: str | None, kernels: str | None, inside: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if ambient is not None:
        monkeypatch.setenv("OPENBLAS_CORETYPE", ambient)
    with kernels_in_environment(kernels):
        assert os.environ.get("OPENBLAS_CORETYPE") == inside
    assert os.environ.get("OPENBLAS_CORETYPE") == ambient
    assert users_kernels() == (ambient or None)
