"""A terminal that closes drains the server, unless it was started to outlive that."""

from __future__ import annotations

import os
import signal
import time

import httpx
import pytest

from tests.fakes.live_server import wait_until
from tests.serving.programs import BODY, Start, worker_name


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_a_hangup_drains_and_comes_as_often_as_it_likes(start: Start, options: tuple[str, ...]) -> None:
    program, url = start("hang", "--drain-seconds", "4", *options)
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=BODY, timeout=60) as response:
        lines = response.iter_lines()
        assert "assistant" in next(lines)
        os.killpg(program.pid, signal.SIGHUP)  # as a terminal does: to the parent and the workers
        wait_until(lambda: httpx.get(f"{url}/health").status_code == 503, 20)
        time.sleep(0.4)  # later than an echo of a person's signal
        program.send_signal(signal.SIGHUP)
        rest = [line for line in lines if line]
    assert "shutting down" in rest[-2]
    assert rest[-1] == "data: [DONE]"
    assert program.wait(60) == 0


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_a_server_under_nohup_stays(start: Start, options: tuple[str, ...], ignored_hangup: None) -> None:
    program, url = start("hello", *options)
    worker_name(url)
    os.killpg(program.pid, signal.SIGHUP)
    time.sleep(0.2)
    assert worker_name(url).startswith("pid-")
    program.send_signal(signal.SIGTERM)
    assert program.wait(60) == 0
