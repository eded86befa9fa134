from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.engine.model_loader import blas
from api.engine.model_loader.blas import BlasReport, preload_blas


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
        "from api.engine.model_loader.blas import preload_blas;"
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
        "import ctypes; from api.engine.model_loader.blas import preload_blas; report = preload_blas();"
        "import mlx.core; ours = ctypes.CDLL(report.library).cblas_sgemm;"
        "found = ctypes.CDLL(None).cblas_sgemm;"
        "address = lambda f: ctypes.cast(f, ctypes.c_void_p).value;"
        "print(report.line); assert address(ours) == address(found)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("BLAS: OpenBLAS 0.")


@pytest.mark.usefixtures("before_mlx")
@pytest.mark.parametrize(
    ("vendor", "chosen", "wanted"),
    [
        ("AuthenticAMD", None, "SkylakeX"),
        ("AuthenticAMD", "Zen", "Zen"),  # a user's own choice
        ("GenuineIntel", None, None),
    ],
)
def test_amd_processors_with_avx512_get_its_kernels(
    vendor: str, chosen: str | None, wanted: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "")  # so that what is set here is undone: others start servers
    monkeypatch.delenv("OPENBLAS_CORETYPE")
    if chosen:
        monkeypatch.setenv("OPENBLAS_CORETYPE", chosen)
    (tmp_path / "proc").mkdir()
    flags = "fma avx2 avx512f avx512dq avx512cd avx512bw avx512vl"
    (tmp_path / "proc/cpuinfo").write_text(f"vendor_id\t: {vendor}\nflags\t\t: {flags}\n")
    preload_blas(root=tmp_path)
    assert os.environ.get("OPENBLAS_CORETYPE") == wanted
