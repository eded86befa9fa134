"""What MLX says of the device's memory, to be compared with the engine's own account."""

from __future__ import annotations

import gc

import mlx.core as mx

from api.engine.device.platform import Platform
from api.stats import DeviceBytes


def give_back_memory(platform: Platform) -> None:
    """So that what is free can be told: what is in cycles or kept for reuse goes."""
    gc.collect()
    mx.clear_cache()
    platform.release_memory()


class DeviceMemory:
    """Made when the model is loaded and no sequence has any state: what is active then stays."""

    def __init__(self) -> None:
        gc.collect()  # what the load's checks left in cycles
        mx.clear_cache()
        self._loaded_bytes = mx.get_active_memory()

    def read(self) -> DeviceBytes:
        return DeviceBytes(
            loaded_bytes=self._loaded_bytes,
            active_bytes=mx.get_active_memory(),
            cache_bytes=mx.get_cache_memory(),
            peak_bytes=mx.get_peak_memory(),
        )
