from __future__ import annotations

from typing import Any
from unittest import mock

import mlx.core as mx
import pytest

from api.engine.device.free_memory import free_bytes, max_array_bytes, total_bytes
from api.engine.device.noise import device_noise
from api.engine.device.platform import detect_platform, prepare_device
from tests.engine.fake_devices import CUDA, GIB, M2_AIR, METAL, RTX_4090, device, gpu_platform


@pytest.mark.parametrize("info", [*METAL, *CUDA], ids=lambda info: str(info["device_name"]))
def test_a_gpu_gets_mlx_own_functions(info: dict[str, Any]) -> None:
    platform = gpu_platform(info)
    assert platform.name == ("metal" if info in METAL else "cuda")
    assert not platform.is_cpu
    assert platform.model_functions == {}
    assert platform.noise is device_noise
    assert platform.row_multiple == 1
    assert platform.first_chunk_tokens <= platform.max_step_tokens


def test_only_metal_is_asked_to_wire_its_weights() -> None:
    for info, wired in ((M2_AIR, [M2_AIR["max_recommended_working_set_size"]]), (RTX_4090, [])):
        limits: list[int] = []
        platform = gpu_platform(info)
        with (
            device(info),
            mock.patch.object(mx, "set_wired_limit", limits.append),
            mock.patch.object(mx, "set_cache_limit") as set_cache_limit,
        ):
            prepare_device(platform)
        assert limits == wired
        set_cache_limit.assert_called_once_with(platform.buffer_cache_bytes)


def test_memory_is_what_the_device_says() -> None:
    used_bytes, kept_bytes = mx.get_active_memory(), mx.get_cache_memory()
    with device(M2_AIR):
        assert free_bytes() == M2_AIR["max_recommended_working_set_size"] - used_bytes
        assert max_array_bytes() == M2_AIR["max_buffer_length"]
        assert total_bytes() == 16 * GIB
    with device(RTX_4090):
        assert free_bytes() == 23 * GIB + kept_bytes
        assert max_array_bytes() is None
        assert total_bytes() == 24 * GIB


def test_here_it_is_the_cpu_or_what_mlx_has() -> None:
    platform = detect_platform()
    assert platform.is_cpu == (mx.default_device() == mx.cpu)
    assert platform.name in ("cpu", "metal", "cuda")
