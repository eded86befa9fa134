"""SIGHUP makes a server read its keys again, under a stream that goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from api.keys.key import ApiKey, hash_of
from api.keys.key_file import entry_of
from tests.fakes.live_server import wait_until
from tests.serving.programs import BODY, Start

OLD, NEW = ({"authorization": f"Bearer sk-{each}"} for each in ("old", "new"))


def write(path: Path, name: str) -> None:
    path.write_text(entry_of(ApiKey(name, hash_of(f"sk-{name}"))), encoding="utf-8")


def status(url: str, headers: dict[str, str]) -> int:
    return httpx.get(f"{url}/v1/models", headers=headers, timeout=20).status_code


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_keys_change_under_a_running_stream(start: Start, tmp_path: Path, options: tuple[str, ...]) -> None:
    path = tmp_path / "keys.toml"
    write(path, "old")
    program, url = start("hang", "--api-key-file", str(path), "--drain-seconds", "1", *options)
    assert (status(url, OLD), status(url, NEW)) == (200, 401)
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=BODY, headers=OLD, timeout=60) as response:
        lines = response.iter_lines()
        assert "assistant" in next(lines)
        write(path, "new")
        os.killpg(program.pid, signal.SIGHUP)  # also as a terminal sends it: to the parent and the workers
        # Each worker takes its turn at the socket, so several answers in a row are of all of them.
        wait_until(lambda: all(status(url, NEW) == 200 for _ in range(8)), 20)
        wait_until(lambda: all(status(url, OLD) == 401 for _ in range(8)), 20)
        program.send_signal(signal.SIGHUP)
        time.sleep(0.4)
        assert httpx.get(f"{url}/health", timeout=20).status_code == 200  # nothing is draining
        program.send_signal(signal.SIGTERM)
        rest = [line for line in lines if line]
    assert "shutting down" in rest[-2]  # the stream has lived until the very end
    assert program.wait(60) == 0


def test_a_damaged_file_changes_nothing(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    write(path, "old")
    program, url = start("hello", "--api-key-file", str(path))
    assert status(url, OLD) == 200
    path.write_text("[", encoding="utf-8")
    program.send_signal(signal.SIGHUP)
    time.sleep(0.4)
    assert (status(url, OLD), status(url, NEW)) == (200, 401)
    program.send_signal(signal.SIGTERM)
    assert program.wait(60) == 0


def test_a_server_does_not_start_with_a_damaged_file(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text("[", encoding="utf-8")
    program, _ = start("hello", "--api-key-file", str(path))
    assert program.wait(60) == 2
    assert program.stderr is not None
    assert "error: the API keys in" in program.stderr.read()
