from __future__ import annotations

import ctypes
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from api.engine.cpu.blas import load as blas
from api.engine.cpu.blas.choice import UnusableLibrary
from api.engine.cpu.blas.load import BlasReport, measure_blas, preload_blas
from api.engine.cpu.blas.remembered import THREAD_VARIABLES, KernelChoice


def test_nothing_to_do_beside_linux_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert preload_blas() == BlasReport(is_needed=False)


def test_cuda_build_brings_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(blas, "_is_installed", lambda name: name == "mlx-cuda-13")
    assert not blas.needs_blas()


def test_says_when_mlx_was_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "needs_blas", lambda: True)
    monkeypatch.setitem(sys.modules, "mlx.core", sys)
    report = preload_blas()
    assert report.is_too_late and not report.is_fast
    assert "before OpenBLAS could be loaded" in report.line


@pytest.fixture
def before_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at a start on a Linux CPU: mlx is not imported, the system's OpenBLAS is out of sight."""
    monkeypatch.setattr(blas, "needs_blas", lambda: True)
    monkeypatch.delitem(sys.modules, "mlx.core", raising=False)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)


@pytest.mark.usefixtures("before_mlx")
def test_missing_library_comes_with_the_hint(tmp_path: Path) -> None:
    report = preload_blas(root=tmp_path)
    assert not report.is_fast
    assert "apt-get install libopenblas0-pthread" in report.line


@pytest.mark.usefixtures("before_mlx")
def test_broken_library_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/some-linux-gnu/openblas-pthread"
    folder.mkdir(parents=True)
    (folder / "libopenblas.so.0").write_text("no library")
    assert preload_blas(root=tmp_path).library is None


needs_openblas = pytest.mark.skipif(
    not blas.needs_blas() or not any(Path("/").glob("usr/lib/*/openblas-pthread/libopenblas.so.0")),
    reason="no OpenBLAS, or MLX brings its own BLAS here",
)


@needs_openblas
def test_workers_share_the_cores() -> None:
    code = (
        "from api.engine.cpu.blas.load import preload_blas;"
        "print(preload_blas(1).num_threads, preload_blas(1000).num_threads)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    alone, shared = done.stdout.split()
    assert int(alone) >= 1
    assert int(shared) == 1


@needs_openblas
def test_mlx_multiplies_with_the_preloaded_library() -> None:
    # In a process of its own: this one has imported mlx. The symbol that mlx's library resolves
    # must be the one of OpenBLAS, which the global scope shows.
    code = (
        "import ctypes; from api.engine.cpu.blas.load import preload_blas; report = preload_blas();"
        "import mlx.core; ours = ctypes.CDLL(report.library).cblas_sgemm;"
        "found = ctypes.CDLL(None).cblas_sgemm;"
        "address = lambda f: ctypes.cast(f, ctypes.c_void_p).value;"
        "print(report.line); assert address(ours) == address(found)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("BLAS: OpenBLAS 0.")


START = """
import json, os
from api.engine.cpu.blas.load import preload_blas
report = preload_blas()
print(json.dumps([report.line, report.kernels, os.environ.get("OPENBLAS_CORETYPE")]))
"""


def start(tmp_path: Path, **variables: str) -> list[str | None]:
    """The log's line, the kernels in use, and what processes started later find in the environment."""
    ambient = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    environment = {**ambient, "XDG_CACHE_HOME": str(tmp_path), **variables}
    done = subprocess.run(
        [sys.executable, "-c", START], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    answer: list[str | None] = json.loads(done.stdout)
    return answer


@needs_openblas
@pytest.mark.skipif(platform.machine() != "x86_64", reason="kernels of x86")
def test_a_user_s_own_kernels_stand(tmp_path: Path) -> None:
    line, kernels, left = start(tmp_path, OPENBLAS_CORETYPE="Prescott")
    assert line is not None and "Prescott kernels (OPENBLAS_CORETYPE=Prescott)" in line
    assert (kernels, left) == ("Prescott", "Prescott")
    assert list(tmp_path.rglob("*.json")) == []


@needs_openblas
@pytest.mark.parametrize("ambient", [{}, {"OPENBLAS_CORETYPE": ""}])
def test_kernels_are_measured_and_later_processes_choose_for_themselves(
    ambient: dict[str, str], tmp_path: Path
) -> None:
    line, kernels, left = start(tmp_path, **ambient)
    # On a very slow or busy machine nothing may be known in time.
    assert line is not None and (f"{kernels} kernels by measurement (" in line or "not measured" in line)
    assert left == ambient.get("OPENBLAS_CORETYPE")


@needs_openblas
def test_a_library_that_is_there_already_has_chosen(tmp_path: Path) -> None:
    library = next(blas._candidates(Path("/")))
    line, _, _ = start(tmp_path, LD_PRELOAD=library)
    assert line is not None and "kernels, not measured" in line


@pytest.fixture
def library(before_mlx: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file that is no library: a test that chooses decides what becomes of it."""
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    path = tmp_path / "usr/lib64/libopenblas.so.0"
    path.parent.mkdir(parents=True)
    path.write_text("no library")
    return path


def test_a_library_in_which_nothing_works_is_passed_over(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas, "choose_kernels", lambda *args: UnusableLibrary("SIGILL"))
    report = preload_blas(root=tmp_path)
    assert report.library is None and not report.is_fast
    assert f"cannot use {library}: SIGILL" in report.line


def test_the_chosen_kernels_are_in_the_environment_while_it_is_loaded(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def load(path: str | None, mode: int = 0) -> ctypes.CDLL:
        seen.append(os.environ.get("OPENBLAS_CORETYPE"))
        raise OSError("no library")

    choice = KernelChoice("SkylakeX", 155.0, "Prescott", 31.0)
    monkeypatch.setattr(blas, "choose_kernels", lambda *args: choice)
    monkeypatch.setattr(blas, "_is_loaded", lambda path: False)
    monkeypatch.setattr(ctypes, "CDLL", load)
    preload_blas(root=tmp_path)
    assert "SkylakeX" in seen
    assert "OPENBLAS_CORETYPE" not in os.environ


@pytest.mark.parametrize(
    ("num_workers", "cores", "variable", "wanted"),
    [
        (1, 16, None, 0),  # as many as the library sees
        (1, 2, None, 2),  # a container with less time than cores
        (1, 2, "OPENBLAS_NUM_THREADS", 0),  # the user's own
        (1, 2, "OMP_NUM_THREADS", 0),
        (4, 16, None, 4),
        (4, 2, None, 1),
    ],
)
def test_threads_are_as_many_as_have_a_core(
    num_workers: int, cores: int, variable: str | None, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if variable is not None:
        monkeypatch.setenv(variable, "3")
    monkeypatch.setattr(blas, "visible_cores", lambda: 16)
    monkeypatch.setattr(blas, "usable_cores", lambda root: cores)
    assert blas._num_threads(num_workers, Path("/")) == wanted


def test_workers_find_what_was_measured_for_them(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(blas, "choose_kernels", lambda path, threads, root: asked.append((path, threads)))
    monkeypatch.setattr(blas, "usable_cores", lambda root: 16)
    measure_blas(4, tmp_path)
    preload_blas(4, tmp_path)
    assert asked == [(str(library), 4)] * 2
