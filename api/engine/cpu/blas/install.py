"""``python -m api.engine.cpu.blas.install``: installs OpenBLAS where that is needed and possible.

Prints a hint and succeeds where it is not possible: the server also runs without.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from api.engine.cpu.blas.load import INSTALL_HINT, preload_blas

_PACKAGE = "libopenblas0-pthread"


def main() -> int:
    """Returns the exit code, always 0."""
    if preload_blas().is_fast:
        return 0
    prefix = _root_prefix()
    if prefix is None or not _install(prefix):
        print(f"OpenBLAS is missing: the server will be slow. Get it with: {INSTALL_HINT}", file=sys.stderr)
    return 0


def _root_prefix() -> list[str] | None:
    """Returns what to put before apt-get to run it as root; None where that is not possible."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def _install(prefix: list[str]) -> bool:
    print(f"Installing {_PACKAGE} (fast matrix products for MLX on a CPU)", file=sys.stderr)
    install = [*prefix, "apt-get", "install", "-y", "--no-install-recommends", _PACKAGE]
    if subprocess.run(install, stdout=2).returncode == 0:
        return True
    # A bare machine has no package lists yet.
    updated = subprocess.run([*prefix, "apt-get", "update"], stdout=2).returncode == 0
    return updated and subprocess.run(install, stdout=2).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
