from __future__ import annotations

import resource
from pathlib import Path

import pytest

from api.engine.device.system_memory import available_ram_bytes, process_limit_bytes


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


def old_groups(root: Path, limits: dict[str, int], group: str = "/a/b") -> Path:
    """Control groups of the first generation, each with 100 bytes in use, 30 of them reclaimable."""
    system(root)
    (root / "proc/self").mkdir()
    (root / "proc/self/cgroup").write_text(f"9:name=systemd:/\n4:memory:{group}\n0::/\n")
    for name, limit in limits.items():
        folder = root / "sys/fs/cgroup/memory" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
        (folder / "memory.usage_in_bytes").write_text("100\n")
        (folder / "memory.stat").write_text("cache 90\ntotal_inactive_file 30\n")
    return root


@pytest.mark.parametrize(
    ("limits", "free"),
    [
        ({"": 2**63, "a": 2**63, "a/b": 2**63}, 4000 * 1024),
        ({"": 2**63, "a": 2**63, "a/b": 1000}, 930),
        ({"": 2**63, "a": 500, "a/b": 1000}, 430),
        ({"": 700}, 630),  # the group's own folder is not to be seen from inside
    ],
)
def test_the_first_generation_of_groups_and_those_around_ones_own(
    tmp_path: Path, limits: dict[str, int], free: int
) -> None:
    assert available_ram_bytes(old_groups(tmp_path, limits)) == free


def test_the_group_that_the_process_is_in_counts(tmp_path: Path) -> None:
    root = system(tmp_path, limit="max")
    (root / "proc/self").mkdir()
    (root / "proc/self/cgroup").write_text("0::/user.slice/server\n")
    folder = root / "sys/fs/cgroup/user.slice/server"
    folder.mkdir(parents=True)
    for name, content in (("max", "1000"), ("current", "300"), ("stat", "inactive_file 50")):
        (folder / f"memory.{name}").write_text(f"{content}\n")
    assert available_ram_bytes(root) == 750


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({}, None),
        ({resource.RLIMIT_AS: 5000 * 1024}, 2000 * 1024),
        ({resource.RLIMIT_DATA: 1500 * 1024}, 500 * 1024),
        ({resource.RLIMIT_AS: 5000 * 1024, resource.RLIMIT_DATA: 1500 * 1024}, 500 * 1024),
        ({resource.RLIMIT_AS: 1024}, 0),
    ],
)
def test_a_limit_of_the_process_counts_less_what_it_has_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[int, int], left: int | None
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text("Name:\tpython\nVmSize:\t 3000 kB\nVmData:\t 1000 kB\n")
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(
        resource, "getrlimit", lambda kind: (limits[kind], -1) if kind in limits else unlimited
    )
    assert process_limit_bytes(tmp_path) == left


def test_without_proc_no_limit_of_the_process_is_known(tmp_path: Path) -> None:
    assert process_limit_bytes(tmp_path) is None


def test_without_proc_the_machine_says_its_size(tmp_path: Path) -> None:
    assert (available_ram_bytes(tmp_path) or 0) > 10**8
