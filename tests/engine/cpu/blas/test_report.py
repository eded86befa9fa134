from __future__ import annotations

import pytest

from api.engine.cpu.blas.remembered import KernelChoice
from api.engine.cpu.blas.report import BlasReport

WON = KernelChoice("SkylakeX", 155.2, "Prescott", 31.4)


@pytest.mark.parametrize(
    ("kernels", "users", "choice", "said"),
    [
        (
            "SkylakeX",
            None,
            WON,
            "SkylakeX kernels by measurement (155 GFLOP/s; its own choice Prescott 31)",
        ),
        (
            "Haswell",
            None,
            KernelChoice(None, 85.0, "Haswell", 85.0),
            "Haswell kernels by measurement (85 GFLOP/s; its own choice)",
        ),
        (
            "Haswell",
            None,
            KernelChoice("Haswell", 85.0, None, None),
            "Haswell kernels by measurement (85 GFLOP/s; its own choice does not work here)",
        ),
        ("Prescott", "Prescott", None, "Prescott kernels (OPENBLAS_CORETYPE=Prescott)"),
        ("Haswell", "Typo", None, "Haswell kernels (OPENBLAS_CORETYPE=Typo)"),
        ("Zen", None, None, "Zen kernels, not measured"),
        (None, None, None, "? kernels, not measured"),
    ],
)
def test_the_line_says_which_kernels_and_why(
    kernels: str | None, users: str | None, choice: KernelChoice | None, said: str
) -> None:
    report = BlasReport(True, "/lib/libopenblas.so.0", "0.3.21", 2, kernels, users, choice)
    assert report.line == f"BLAS: OpenBLAS 0.3.21, {said}, 2 threads (/lib/libopenblas.so.0)"
