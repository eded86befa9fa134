from __future__ import annotations

from pathlib import Path

import pytest

from api.engine.cpu import cores
from api.engine.cpu.cores import usable_cores


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "visible_cores", lambda: 16)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        ("max 100000", 16),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("1000 100000", 1),
        ("9900000 100000", 16),
    ],
)
def test_a_container_s_share_of_time(limit: str, wanted: int, tmp_path: Path) -> None:
    write(tmp_path / "sys/fs/cgroup/cpu.max", limit)
    assert usable_cores(tmp_path) == wanted


def test_the_tightest_group_above_counts(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/a/b\n")
    write(tmp_path / "sys/fs/cgroup/a/b/cpu.max", "800000 100000")
    write(tmp_path / "sys/fs/cgroup/a/cpu.max", "300000 100000")
    assert usable_cores(tmp_path) == 3


@pytest.mark.parametrize(("quota", "wanted"), [("400000", 4), ("-1", 16)])
def test_the_first_generation_of_control_groups(quota: str, wanted: int, tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "4:cpu,cpuacct:/a\n3:memory:/b\n")
    write(tmp_path / "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", quota)
    write(tmp_path / "sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000")
    assert usable_cores(tmp_path) == wanted


def test_without_control_groups_all_cores_count(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 16
    write(tmp_path / "sys/fs/cgroup/cpu.max", "nonsense")
    assert usable_cores(tmp_path) == 16
