from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from api.engine.cpu.blas.load import BlasReport
from benchmarks import servers


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    servers.openblas_environment.cache_clear()
    yield
    servers.openblas_environment.cache_clear()


@pytest.mark.parametrize(
    ("report", "wanted"),
    [
        # Loaded before the server can choose, so the choice has to come with it.
        (BlasReport(True, "/lib/blas.so", kernels="SkylakeX"), "SkylakeX"),
        (BlasReport(True, "/lib/blas.so", kernels="Prescott", users_kernels="Prescott"), "Prescott"),
        (BlasReport(True, "/lib/blas.so"), None),
        (BlasReport(True), None),
        (BlasReport(False), None),
    ],
)
def test_both_servers_get_the_same_library_and_kernels(
    report: BlasReport, wanted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setattr(servers, "preload_blas", lambda: report)
    environment = servers.openblas_environment()
    assert environment.get("OPENBLAS_CORETYPE") == wanted
    assert environment.get("LD_PRELOAD") == report.library
    assert "OPENBLAS_CORETYPE" not in os.environ


def test_it_is_an_error_after_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "preload_blas", lambda: BlasReport(True, is_too_late=True))
    with pytest.raises(RuntimeError):
        servers.openblas_environment()
