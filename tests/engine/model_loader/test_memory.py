from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import pytest

from api.engine.model_loader import memory
from api.engine.model_loader.memory import available_ram_bytes, free_bytes, gigabytes


def system(root: Path, *, limit: str | None = None, used: int = 0, inactive: int = 0) -> Path:
    (root / "proc").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:    4000 kB\n")
    if limit is not None:
        folder = root / "sys/fs/cgroup"
        folder.mkdir(parents=True)
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")
    return root


def test_the_systems_figure(tmp_path: Path) -> None:
    assert available_ram_bytes(system(tmp_path)) == 4000 * 1024


def test_container_without_limit(tmp_path: Path) -> None:
    assert available_ram_bytes(system(tmp_path, limit="max")) == 4000 * 1024


def test_containers_limit_counts_less_what_is_used(tmp_path: Path) -> None:
    assert available_ram_bytes(system(tmp_path, limit="1000000", used=900_000, inactive=50_000)) == 150_000


def test_full_container_has_nothing(tmp_path: Path) -> None:
    assert available_ram_bytes(system(tmp_path, limit="1000", used=2000)) == 0


def test_without_proc_the_machine_says_its_size(tmp_path: Path) -> None:
    assert (available_ram_bytes(tmp_path) or 0) > 10**8


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


def test_sizes_for_people() -> None:
    assert [gigabytes(size) for size in (98_362_432, 1_640_000_000)] == ["98 MB", "1.6 GB"]
