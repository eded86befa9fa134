"""Signals, workers and restarts, with real processes and a fake engine."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.fakes.live_server import wait_until
from tests.serving.programs import BODY, Start, is_replaced, worker_name


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_an_idle_server_ends_with_0(start: Start, sig: signal.Signals) -> None:
    program, url = start("hello")
    worker_name(url)
    program.send_signal(sig)
    assert program.wait(10) == 0


def test_a_drain_keeps_streams_and_refuses_new_requests(start: Start) -> None:
    program, url = start("hang", "--drain-seconds", "1.5")
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=BODY, timeout=20) as response:
        lines = response.iter_lines()
        assert "assistant" in next(lines)
        program.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{url}/health").status_code == 503)
        refused = httpx.post(f"{url}/v1/chat/completions", json=BODY)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "service_unavailable")
        rest = [line for line in lines if line]
        assert "shutting down" in rest[-2]
        assert rest[-1] == "data: [DONE]"
    assert program.wait(10) == 0


def test_a_second_signal_ends_at_once(start: Start) -> None:
    program, url = start("hang", "--drain-seconds", "60")
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=BODY, timeout=20):
        program.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{url}/health").status_code == 503)
        time.sleep(0.4)  # a signal that follows at once is taken for an echo of the first
        program.send_signal(signal.SIGTERM)
        assert program.wait(2) == 128 + signal.SIGTERM


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_the_echo_of_a_signal_is_no_second_one(start: Start, options: tuple[str, ...]) -> None:
    program, url = start("hang", "--drain-seconds", "1", *options)
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=BODY, timeout=20) as response:
        lines = response.iter_lines()
        assert "assistant" in next(lines)
        os.killpg(program.pid, signal.SIGTERM)
        time.sleep(0.05)  # apart, or the kernel would merge the two
        program.send_signal(signal.SIGTERM)
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert program.wait(10) == 0


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_a_model_that_cannot_be_loaded_ends_with_2_and_one_line(start: Start, options: tuple[str]) -> None:
    program, _ = start("load-error", *options)
    assert program.wait(20) == 2
    assert program.stderr is not None
    errors = program.stderr.read()
    assert "error: no such model: 'x'" in errors
    assert "Traceback" not in errors


def test_workers_share_the_port_and_a_ctrl_c_drains_them_once(start: Start) -> None:
    program, url = start("hello", "--workers", "2")
    names: set[str] = set()
    deadline = time.monotonic() + 20
    while len(names) < 2 and time.monotonic() < deadline:
        names.add(worker_name(url))
    assert len(names) == 2
    os.killpg(program.pid, signal.SIGINT)  # as Ctrl-C does: to the parent and the workers
    assert program.wait(10) == 0


def test_workers_that_crash_at_the_start_end_the_server(start: Start) -> None:
    program, _ = start("crash", "--workers", "2")
    assert program.wait(20) == 1


def test_workers_end_with_their_parent(start: Start) -> None:
    program, url = start("hello", "--workers", "2")
    pid = int(worker_name(url).removeprefix("pid-"))
    program.kill()
    program.wait(5)
    wait_until(lambda: not is_alive(pid))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_change_of_the_code_restarts(start: Start, tmp_path: Path) -> None:
    program, url = start("hello", "--reload")
    before = worker_name(url)
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "new.py").write_text("")
    wait_until(lambda: is_replaced(url, before), timeout_seconds=20)
    program.send_signal(signal.SIGTERM)
    assert program.wait(10) == 0
