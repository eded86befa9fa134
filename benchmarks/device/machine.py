"""What this machine is: the device as MLX describes it, and the versions of what computes on it."""

from __future__ import annotations

import os
import platform as python_platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

_PACKAGES = ("mlx", "mlx-metal", "mlx-cuda-13", "mlx-cuda-12", "mlx-cpu", "mlx-lm", "numpy", "llguidance")
_VARIABLES = ("MLX_ENABLE_TF32", "OPENBLAS_CORETYPE", "CUDA_VISIBLE_DEVICES", "MLX_MAX_OPS_PER_BUFFER")


def describe_machine() -> dict[str, Any]:
    """On the thread that may use MLX; for the report's head and to decide what fits."""
    import mlx.core as mx

    from api.engine.device.platform import detect_platform
    from api.engine.forward.choosing.self_check import has_exact_float32

    platform = detect_platform()
    return {
        "device": platform.name,
        "is_cpu": platform.is_cpu,
        "device_info": dict(mx.device_info()),
        "device_count": mx.device_count(mx.default_device().type),
        "metal": mx.metal.is_available(),
        "cuda": mx.cuda.is_available(),
        "exact_float32": has_exact_float32(),
        "guesses": {
            "max_step_tokens": platform.max_step_tokens,
            "row_multiple": platform.row_multiple,
            "first_chunk_tokens": platform.first_chunk_tokens,
        },
        "system": python_platform.platform(),
        "python": python_platform.python_version(),
        "cores": os.cpu_count(),
        "packages": versions(),
        "environment": set_variables(os.environ),
    }


def versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def set_variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in _VARIABLES if name in environment}
