"""Silence, trickles and unread answers, over real connections with short limits."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from api.config import ServerConfig
from api.events import OutputDelta, OutputPiece, TextEvent
from api.serving.connections.doorkeeper import Doorkeeper
from api.serving.connections.patience import Patience
from api.serving.connections.protocol import ServingConfig
from api.types import GenerationRequest
from tests.fakes.live_server import live_server, wait_until
from tests.fakes.server_handler import FakeServerHandler, silent
from tests.serving.connections.raw import CHAT, connect, exchange, is_open, post, read_all, read_until

IMPATIENT = ServerConfig(idle_read_seconds=0.4)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with live_server(FakeServerHandler(), IMPATIENT) as url:
        yield url


def test_a_silent_connection_is_closed(url: str) -> None:
    with connect(url) as client:
        wait_until(lambda: not is_open(client))


@pytest.mark.parametrize("size", [1, 50, -1])
def test_a_request_that_stops_in_the_middle_is_cut_off(url: str, size: int) -> None:
    with connect(url) as client:
        client.sendall(post()[:size])
        wait_until(lambda: not is_open(client))


def test_headers_that_trickle_have_an_end(url: str) -> None:
    with connect(url) as client:
        client.sendall(b"GET /health HTTP/1.1\r\n")
        client.settimeout(0.05)
        for _ in range(400):  # 20 s at most
            try:
                client.sendall(b"X: y\r\n")
                assert client.recv(65536) == b""
                break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("still open")


def test_idle_connections_and_long_answers_are_left_alone() -> None:
    handler = FakeServerHandler(silent)
    with live_server(handler, IMPATIENT) as url, connect(url) as idle, connect(url) as waiting:
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        read_until(idle, b"}")
        waiting.sendall(post())
        with connect(url) as silent_one:
            wait_until(lambda: not is_open(silent_one))  # so the limit is over for the others too
        assert is_open(idle)
        assert is_open(waiting)
        assert handler.cancelled == []


def endless(request: GenerationRequest) -> list[TextEvent]:
    delta = OutputDelta(request.request_id, 0, OutputPiece(content="x" * 100_000))
    return [*silent(request), *[delta] * 500]


def test_a_stream_that_nobody_reads_is_ended() -> None:
    handler = FakeServerHandler(endless)
    with live_server(handler, IMPATIENT) as url, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        host, port = url.removeprefix("http://").split(":")
        client.connect((host, int(port)))
        client.sendall(post(CHAT | {"stream": True}))
        wait_until(lambda: handler.cancelled, timeout_seconds=20)


def test_silent_connections_give_way_to_those_that_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.serving.server.max_connections", lambda: 20)
    with live_server(FakeServerHandler()) as url:
        crowd = [connect(url) for _ in range(60)]
        assert exchange(url, post(headers={"Connection": "close"})).startswith(b"HTTP/1.1 200")
        wait_until(lambda: sum(map(is_open, crowd)) <= 20)
        for each in crowd:
            each.close()


def test_a_newcomer_is_told_where_all_others_are_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.serving.server.max_connections", lambda: 2)
    handler = FakeServerHandler(silent)
    with live_server(handler) as url, connect(url) as one, connect(url) as two:
        one.sendall(post())
        two.sendall(post())
        wait_until(lambda: len(handler.requests) == 2)
        with connect(url) as late:
            assert read_all(late).startswith(b"HTTP/1.1 503 ")
        assert handler.cancelled == []


def test_uvicorn_takes_the_protocol() -> None:
    config = ServingConfig(None, Doorkeeper(Patience(1, 1), 1), lifespan="off")
    config.load()
    assert config.http_protocol_class.__name__ == "ClientConnection"
