from __future__ import annotations

import mlx.core as mx
import pytest

from api.engine.device import free_memory as memory
from api.engine.device.free_memory import free_bytes, gigabytes, max_array_bytes, shared_free_bytes


@pytest.mark.parametrize(
    ("info", "free"),
    [
        ({"free_memory": 300, "total_memory": 1000}, 305),  # CUDA: less the 600 already
        ({"max_recommended_working_set_size": 1000}, 400),  # Metal
        ({"max_recommended_working_set_size": 500}, 0),
        ({}, None),
    ],
)
def test_on_a_gpu_what_is_in_use_counts_once(
    info: dict[str, int], free: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "is_cpu_backend", lambda: False)
    monkeypatch.setattr(mx, "device_info", lambda: info)
    monkeypatch.setattr(mx, "get_active_memory", lambda: 600)
    monkeypatch.setattr(mx, "get_cache_memory", lambda: 5)
    assert free_bytes() == free


def test_on_a_cpu_the_least_of_what_the_system_and_the_process_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "is_cpu_backend", lambda: True)
    monkeypatch.setattr(memory, "available_ram_bytes", lambda: 500)
    for limit, free in ((None, 500), (300, 300), (700, 500)):
        monkeypatch.setattr(memory, "process_limit_bytes", lambda limit=limit: limit)
        assert (shared_free_bytes(), free_bytes()) == (500, free)


@pytest.mark.parametrize(("info", "limit"), [({"max_buffer_length": 700}, 700), ({}, None)])
def test_a_device_may_limit_its_arrays(
    info: dict[str, int], limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mx, "device_info", lambda: info)
    monkeypatch.setattr(memory, "is_cpu_backend", lambda: False)
    assert max_array_bytes() == limit
    monkeypatch.setattr(memory, "is_cpu_backend", lambda: True)
    assert max_array_bytes() is None


def test_sizes_for_people() -> None:
    assert [gigabytes(size) for size in (98_362_432, 1_640_000_000)] == ["98 MB", "1.6 GB"]
