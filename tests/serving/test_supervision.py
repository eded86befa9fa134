"""A successor that leaves the port to its siblings until its model is loaded."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from api.config import ServerConfig
from api.errors import StartupError
from api.serving.server import DrainingServer
from api.serving.sockets import open_socket, url_of
from api.serving.supervision import Supervision
from app import create_app
from tests.fakes.live_server import wait_until
from tests.fakes.server_handler import FakeServerHandler


class LoadingHandler(FakeServerHandler):
    def __init__(self) -> None:
        super().__init__()
        self.may_load = threading.Event()

    async def wait_loaded(self) -> None:
        while not self.may_load.is_set():
            await asyncio.sleep(0.001)
        await super().wait_loaded()


class Successor:
    def __init__(self, sock: socket.socket) -> None:
        self.handler, self.told = LoadingHandler(), threading.Event()
        config, handler = ServerConfig(), self.handler.typed
        supervision = Supervision(self.told.set, listens_when_loaded=True)
        self.server = DrainingServer(config, create_app(config, handler), handler, url_of(sock), supervision)
        self.thread = threading.Thread(target=self.server.run, args=([sock],), daemon=True)
        self.thread.start()
        wait_until(lambda: "start" in self.handler.calls, 20)


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with open_socket("127.0.0.1", 0) as sock:
        yield sock


def test_it_answers_nobody_before_it_can_serve(sock: socket.socket) -> None:
    successor = Successor(sock)
    with pytest.raises(httpx.ReadTimeout):  # in the backlog, where a sibling would take it
        httpx.get(f"{url_of(sock)}/health", timeout=0.3)
    assert not successor.told.is_set()
    successor.handler.may_load.set()
    assert httpx.get(f"{url_of(sock)}/health", timeout=20).status_code == 200
    assert successor.told.wait(20)
    successor.server.should_exit = True
    successor.thread.join(20)


def test_a_signal_does_not_wait_for_the_load(sock: socket.socket) -> None:
    successor = Successor(sock)
    successor.server.handle_exit(signal.SIGTERM, None)
    successor.thread.join(20)
    assert not successor.thread.is_alive()
    assert not successor.told.is_set()


def test_a_load_that_fails_is_told_as_ever(sock: socket.socket) -> None:
    successor = Successor(sock)
    successor.handler.load_error = StartupError("no such model")
    successor.handler.may_load.set()
    successor.thread.join(20)
    assert successor.server.load_error is successor.handler.load_error
    assert not successor.told.is_set()
