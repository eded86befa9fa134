"""Devices that are not here: what MLX says of them, and the platform that the engine makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import mlx.core as mx

from api.engine.device.platform import Platform, detect_platform

GIB = 1024**3

# The keys that MLX's Metal and CUDA backends report, with the values of some machines.
M2_AIR: dict[str, Any] = {
    "device_name": "Apple M2",
    "architecture": "applegpu_g14g",
    "max_buffer_length": 9_534_832_640,
    "max_recommended_working_set_size": 11_453_251_584,
    "memory_size": 16 * GIB,
    "resource_limit": 499_000,
}
M3_ULTRA: dict[str, Any] = {
    "device_name": "Apple M3 Ultra",
    "architecture": "applegpu_g15d",
    "max_buffer_length": 173_173_080_064,
    "max_recommended_working_set_size": 230_897_439_744,
    "memory_size": 256 * GIB,
    "resource_limit": 499_000,
}
RTX_4090: dict[str, Any] = {
    "device_name": "NVIDIA GeForce RTX 4090",
    "architecture": "sm_89",
    "uuid": "GPU-0",
    "pci_bus_id": "0000:01:00.0",
    "compute_capability_major": 8,
    "compute_capability_minor": 9,
    "free_memory": 23 * GIB,
    "total_memory": 24 * GIB,
}
H200: dict[str, Any] = RTX_4090 | {
    "device_name": "NVIDIA H200",
    "architecture": "sm_90",
    "compute_capability_major": 9,
    "compute_capability_minor": 0,
    "free_memory": 139 * GIB,
    "total_memory": 141 * GIB,
}
METAL, CUDA = (M2_AIR, M3_ULTRA), (RTX_4090, H200)


@contextmanager
def device(info: dict[str, Any]) -> Iterator[None]:
    """MLX says that it computes on this GPU, until it is asked to."""
    with (
        mock.patch.object(mx, "default_device", lambda: mx.Device(mx.gpu)),
        mock.patch.object(mx, "device_info", lambda *_: dict(info)),
        mock.patch.object(mx.metal, "is_available", lambda: "memory_size" in info),
        mock.patch.object(mx.cuda, "is_available", lambda: "free_memory" in info),
    ):
        yield


def gpu_platform(info: dict[str, Any] = M2_AIR) -> Platform:
    """The engine's own choices for that GPU."""
    with device(info):
        return detect_platform()
