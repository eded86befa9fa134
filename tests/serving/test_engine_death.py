"""A dead engine's process ends, and another one takes its place."""

from __future__ import annotations

import signal
import time

import httpx
import pytest

from api.errors import ServerSideError
from api.events import Failed, TextEvent
from api.server_state import Health
from api.serving import server
from api.serving.process_end import ENGINE_DEAD_CODE
from api.types import GenerationRequest
from tests.fakes.live_server import live_server, wait_until
from tests.fakes.server_handler import FakeServerHandler
from tests.serving.programs import BODY, Start, worker_name


def kill_an_engine(url: str) -> str:
    """Returns how the killing request's answer ended."""
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=BODY, timeout=60) as response:
        return [line for line in response.iter_lines() if line][-2]


def test_a_single_server_ends_with_its_own_code(start: Start) -> None:
    program, url = start("fragile")
    assert "The engine stopped working." in kill_an_engine(url)
    assert program.wait(60) == ENGINE_DEAD_CODE


def test_for_a_moment_it_still_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_DEAD_SECONDS", 60.0)
    handler = FakeServerHandler()

    def die(request: GenerationRequest) -> list[TextEvent]:
        handler.health = Health("dead", "the batch thread died")
        handler.died.set()
        return [Failed(request.request_id, ServerSideError("The engine stopped working."))]

    handler.script = die
    with live_server(handler) as url:
        assert httpx.post(f"{url}/v1/chat/completions", json=BODY | {"stream": False}).status_code == 500
        health = httpx.get(f"{url}/health")
        assert (health.status_code, health.json()["status"]) == (503, "dead")


def test_it_stays_where_it_is_told_to(start: Start) -> None:
    program, url = start("fragile", "--exit-when-dead", "off", "--drain-seconds", "0.1")
    kill_an_engine(url)
    time.sleep(1.5)
    assert httpx.get(f"{url}/health").json()["status"] == "dead"
    program.send_signal(signal.SIGTERM)
    assert program.wait(60) == 0


@pytest.mark.parametrize("options", [("--workers", "2"), ("--reload",)])
def test_a_supervised_worker_is_replaced_each_time(start: Start, options: tuple[str, ...]) -> None:
    program, url = start("fragile", *options)
    for _ in range(3):
        before = worker_name(url)
        kill_an_engine(url)
        wait_until(lambda before=before: has_new_worker(url, before), timeout_seconds=120)
    assert program.poll() is None
    program.send_signal(signal.SIGTERM)
    assert program.wait(60) == 0


def has_new_worker(url: str, before: str) -> bool:
    """Several in turn: all that answer are well, and none is the dead one."""
    try:
        found = [httpx.get(f"{url}/health").status_code for _ in range(5)]
        return found == [200] * 5 and worker_name(url) != before
    except httpx.TransportError:  # taken by the old worker just as it ended
        return False
