"""What became of the BLAS, and how that is said."""

from __future__ import annotations

from dataclasses import dataclass

from api.engine.cpu.blas.measurement import KERNELS_VARIABLE
from api.engine.cpu.blas.remembered import KernelChoice

INSTALL_HINT = "apt-get install libopenblas0-pthread"


@dataclass(frozen=True, slots=True)
class BlasReport:
    """What was loaded, or what is missing; ``line`` says it to a person."""

    is_needed: bool  # False where MLX brings its own: macOS, CUDA
    library: str | None = None  # path or name of the OpenBLAS now in the process
    version: str | None = None
    num_threads: int | None = None
    kernels: str | None = None  # those in use, by the library's own name for them
    users_kernels: str | None = None  # what the user asked for
    choice: KernelChoice | None = None  # None: nothing was chosen, or nothing could be measured
    is_too_late: bool = False  # mlx was imported first, so its own BLAS stays in use
    unusable: str | None = None  # a library that crashes here or gives wrong products

    @property
    def is_fast(self) -> bool:
        """True unless matrix products run on the wheel's reference BLAS."""
        return not self.is_needed or (self.library is not None and not self.is_too_late)

    @property
    def line(self) -> str:
        if not self.is_needed:
            return "BLAS: the device's own"
        if self.is_too_late:
            return "BLAS: mlx was imported before OpenBLAS could be loaded, the slow reference BLAS is in use"
        if self.library is None:
            reason = f"cannot use {self.unusable}" if self.unusable else f"get it with: {INSTALL_HINT}"
            return f"BLAS: no OpenBLAS found, up to 10 times slower; {reason}"
        threads = f"{self.num_threads or '?'} threads"
        return f"BLAS: OpenBLAS {self.version or '?'}, {self._kernels()}, {threads} ({self.library})"

    def _kernels(self) -> str:
        name = f"{self.kernels or '?'} kernels"
        if self.users_kernels is not None:
            return f"{name} ({KERNELS_VARIABLE}={self.users_kernels})"
        return (
            f"{name}, not measured"
            if self.choice is None
            else f"{name} by measurement ({_figures(self.choice)})"
        )


def _figures(choice: KernelChoice) -> str:
    rate = f"{choice.gflops:.0f} GFLOP/s"
    if choice.kernels is None:
        return f"{rate}; its own choice"
    if choice.own_core is None or choice.own_gflops is None:
        return f"{rate}; its own choice does not work here"
    return f"{rate}; its own choice {choice.own_core} {choice.own_gflops:.0f}"
