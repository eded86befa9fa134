from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import pytest

from api.engine.cpu.blas import install as install_blas
from api.engine.cpu.blas.load import BlasReport


class FakeRun:
    """Stands for subprocess.run: records the commands, fails those that hold a given word."""

    def __init__(self, failures: dict[str, int]) -> None:
        self.failures = failures  # word: how often a command with it fails
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        word = next((word for word in self.failures if word in command and self.failures[word]), None)
        if word:
            self.failures[word] -= 1
        return subprocess.CompletedProcess(command, 1 if word else 0)


def prepare(
    monkeypatch: pytest.MonkeyPatch,
    run: FakeRun,
    *,
    uid: int = 0,
    programs: tuple[str, ...] = ("apt-get", "sudo"),
) -> None:
    monkeypatch.setattr(install_blas, "preload_blas", lambda: BlasReport(is_needed=True))
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(shutil, "which", lambda name: name if name in programs else None)


def test_nothing_happens_where_blas_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakeRun({})
    prepare(monkeypatch, run)
    monkeypatch.setattr(install_blas, "preload_blas", lambda: BlasReport(is_needed=False))
    assert install_blas.main() == 0 and run.commands == []


def test_root_installs_and_updates_the_lists_when_they_lack_it(monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakeRun({"install": 1})
    prepare(monkeypatch, run)
    install_blas.main()
    assert [command[:2] for command in run.commands] == [
        ["apt-get", "install"],
        ["apt-get", "update"],
        ["apt-get", "install"],
    ]


def test_user_goes_through_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakeRun({})
    prepare(monkeypatch, run, uid=1000)
    install_blas.main()
    assert run.commands[-1][:4] == ["sudo", "-n", "apt-get", "install"]


@pytest.mark.parametrize(
    ("failures", "programs"),
    [({}, ()), ({"true": 1}, ("apt-get", "sudo")), ({"install": 2}, ("apt-get", "sudo"))],
)
def test_hint_and_success_where_it_is_not_possible(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failures: dict[str, int],
    programs: tuple[str, ...],
) -> None:
    prepare(monkeypatch, FakeRun(failures), uid=1000, programs=programs)
    assert install_blas.main() == 0
    assert "libopenblas0-pthread" in capsys.readouterr().err
