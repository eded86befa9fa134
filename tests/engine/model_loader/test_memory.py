from __future__ import annotations

from pathlib import Path

from api.engine.model_loader.memory import available_ram_bytes, gigabytes


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


def test_sizes_for_people() -> None:
    assert [gigabytes(size) for size in (98_362_432, 1_640_000_000)] == ["98 MB", "1.6 GB"]
