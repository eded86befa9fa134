"""What uvicorn's own protocol gets wrong; a new uvicorn that moves its methods fails here."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import orjson
import pytest

from api.serving.connections.cycle import Cycle
from api.serving.connections.protocol import ClientConnection
from api.types import FinishReason
from tests.fakes.live_server import live_server, wait_until
from tests.fakes.server_handler import FakeServerHandler, Script, ends, hanging, silent
from tests.serving.connections.raw import CHAT, connect, exchange, is_open, post, read_all, read_until

LAST = {"Connection": "close"}
STREAM = CHAT | {"stream": True}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with live_server(FakeServerHandler()) as url:
        yield url


@pytest.fixture
def handler() -> FakeServerHandler:
    return FakeServerHandler(silent)


def error_of(answer: bytes) -> dict[str, str | None]:
    error: dict[str, str | None] = orjson.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    return error


@pytest.mark.parametrize(
    ("base", "names"),
    [
        (ClientConnection, "_start_asgi_task _unset_keepalive_if_required eof_received on_response_complete"),
        (Cycle, "send receive run_asgi"),
    ],
)
def test_what_is_overridden_or_called_is_still_uvicorns(base: type, names: str) -> None:
    for name in names.split():
        assert hasattr(base.__mro__[1], name)


# --- upgrades -----------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["h2c", "websocket", "TLS/1.0, HTTP/2.0", "foo"])
@pytest.mark.parametrize("connection", ["Upgrade, HTTP2-Settings", "upgrade", "close, Upgrade"])
def test_an_offer_to_upgrade_changes_nothing(url: str, token: str, connection: str) -> None:
    offer = {"Connection": connection, "Upgrade": token, "HTTP2-Settings": "AAEAAEAAAAIAAAAB"}
    with connect(url) as client:
        client.sendall(post(headers=offer))
        answer = read_until(client, b"}}")
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"chat.completion" in answer
        if "close" in connection:
            assert read_all(client) == b""
        else:
            client.sendall(post())
            assert read_until(client, b"}}").startswith(b"HTTP/1.1 200")


def test_an_offer_that_comes_byte_by_byte_and_others_behind_it(url: str) -> None:
    offer = post(headers={"Connection": "Upgrade", "Upgrade": "h2c"})
    with connect(url) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for index in range(len(offer)):
            client.sendall(offer[index : index + 1])
        client.sendall(offer + post(headers=LAST))
        assert read_all(client).count(b"HTTP/1.1 200") == 3


def test_an_offer_with_a_chunked_body(url: str) -> None:
    head = post(headers={"Connection": "Upgrade", "Upgrade": "h2c"}).partition(b"\r\n\r\n")[0]
    head = head.replace(b"Content-Length", b"Was").replace(
        b"Upgrade: h2c", b"Upgrade: h2c\r\nTransfer-Encoding: chunked"
    )
    body = orjson.dumps(CHAT)
    with connect(url) as client:
        client.sendall(head + b"\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        assert read_until(client, b"}}").startswith(b"HTTP/1.1 200")


def test_a_connect_is_refused(url: str) -> None:
    answer = exchange(url, b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 40")
    assert error_of(answer)["type"] == "invalid_request_error"


# --- HTTP/1.0, 100-continue, nonsense -----------------------------------------------------------


@pytest.mark.parametrize("payload", [CHAT, STREAM])
def test_http_1_0_gets_no_chunks(url: str, payload: object) -> None:
    head, _, body = exchange(url, post(payload, version="1.0")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"transfer-encoding" not in head.lower()
    assert body.startswith(b"data: {" if payload is STREAM else b"{")
    assert body.endswith(b"data: [DONE]\n\n" if payload is STREAM else b"}")


def test_http_1_1_streams_in_chunks(url: str) -> None:
    answer = exchange(url, post(STREAM, LAST))
    assert b"transfer-encoding: chunked" in answer
    assert answer.endswith(b"0\r\n\r\n")


def test_a_client_that_waits_with_its_body_is_asked_for_it(url: str) -> None:
    head, _, body = post(headers={"Expect": "100-continue"} | LAST).partition(b"\r\n\r\n")
    with connect(url) as client:
        client.sendall(head + b"\r\n\r\n")
        assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        client.sendall(body)
        assert read_all(client).startswith(b"HTTP/1.1 200")


def test_a_refusal_before_the_body_closes_since_the_body_may_come_or_not(url: str) -> None:
    head = post(headers={"Expect": "100-continue"}).partition(b"\r\n\r\n")[0]
    answer = exchange(url, head.replace(b"Content-Length: ", b"Content-Length: 9999999") + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000, 431),
        (b"GET /" + b"a" * 300_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 50_000, 431),
    ],
)
def test_what_is_not_http_gets_an_error_object(url: str, data: bytes, status: int) -> None:
    with connect(url) as client:
        client.sendall(data[:200_000])
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in answer
    assert set(error_of(answer)) == {"message", "type", "param", "code"}


def test_nonsense_behind_a_request_does_not_spoil_its_answer(url: str) -> None:
    answer = exchange(url, post(STREAM) + b"FOO BAR\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1


# --- pipelines ----------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_turn(url: str) -> None:
    requests = post() + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + post(STREAM) + post(headers=LAST)
    answer = exchange(url, requests)
    kinds = [b'"status":"ok"', b"data: [DONE]"]
    assert answer.count(b"HTTP/1.1 200") == 4
    assert answer.index(b"chat.completion") < answer.index(kinds[0]) < answer.index(kinds[1])


def test_requests_that_come_while_one_is_answered_are_answered_later(handler: FakeServerHandler) -> None:
    with live_server(handler) as url, connect(url) as client:
        client.sendall(post(STREAM))
        wait_until(lambda: handler.channels)
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        client.sendall(b"Connection: close\r\n\r\n")
        finish(handler)
        answer = read_all(client)
        assert answer.index(b"data: [DONE]") < answer.index(b'"status":"ok"')


def finish(handler: FakeServerHandler) -> None:
    for event in ends(handler.requests[-1], FinishReason.STOP):
        handler.channels[-1].put_from_elsewhere(event)


@pytest.mark.parametrize("script", [silent, hanging, lambda request: []])
@pytest.mark.parametrize("payload", [CHAT, STREAM])
@pytest.mark.parametrize("is_reset", [False, True])
def test_pipelined_requests_whose_client_has_gone_leave_nothing_running(
    script: Script, payload: object, is_reset: bool
) -> None:
    handler = FakeServerHandler(script)
    with live_server(handler) as url:
        client = connect(url)
        client.sendall(post(payload) * 3)
        wait_until(lambda: handler.requests)
        client.sendall(post(payload) * 3)
        if is_reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        wait_until(lambda: handler.cancelled)
    assert handler.cancelled == [handler.requests[0].request_id]


def test_who_sends_too_far_ahead_is_noticed_leaving_all_the_same() -> None:
    handler = FakeServerHandler(silent)
    with live_server(handler) as url:
        client = connect(url)
        client.sendall(post())
        wait_until(lambda: handler.requests)
        client.sendall(post() * 5000)
        client.close()
        wait_until(lambda: handler.cancelled)
    assert len(handler.requests) == 1


def test_what_is_sent_too_far_ahead_is_not_answered(handler: FakeServerHandler) -> None:
    with live_server(handler) as url, connect(url) as client:
        client.sendall(post())
        wait_until(lambda: handler.requests)
        client.sendall(post() * 5000)
        finish(handler)
        assert read_until(client, b"}}").count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("size", [20_000, 100_000])
def test_a_long_body_behind_another_request_is_whole_and_so_is_what_follows(url: str, size: int) -> None:
    long = CHAT | {"unknown": "x" * size}
    with connect(url) as client:
        client.sendall(post() + post(long) + post(headers=LAST))
        assert read_all(client).count(b"HTTP/1.1 200") == 3


def test_the_rest_of_a_body_that_comes_later_is_its_own(url: str) -> None:
    second = post(CHAT | {"unknown": "x" * 20_000}, LAST)
    with connect(url) as client:
        client.sendall(post() + second[:-10_000])
        read_until(client, b"}}")
        client.sendall(second[-10_000:])
        assert read_all(client).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "behind",
    [
        post(CHAT | {"unknown": "x" * 400_000}),
        post().replace(b"Content-Length", b"transfer-encoding: chunked\r\nWas"),
    ],
)
def test_a_request_that_never_becomes_whole_ends_with_the_one_before_it(url: str, behind: bytes) -> None:
    with connect(url) as client:
        client.sendall(post() + behind)
        assert read_all(client).count(b"HTTP/1.1 200") >= 1  # and the connection ends


def test_hundreds_of_pipelined_requests_are_all_answered(url: str) -> None:
    num_requests = 1500  # several slices, all of them within what may be sent ahead
    answer = exchange(url, b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n" * num_requests + post(headers=LAST))
    assert answer.count(b"HTTP/1.1 200") == num_requests + 1


# --- half-closed connections --------------------------------------------------------------------


@pytest.mark.parametrize("payload", [CHAT, STREAM])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_client_that_only_ends_its_sending_gets_its_answer(url: str, payload: object, version: str) -> None:
    answer = exchange(url, post(payload, version=version), ends_sending=True)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"[DONE]" in answer if payload is STREAM else answer.endswith(b"}")


@pytest.mark.parametrize("payload", [CHAT, STREAM])
def test_an_answer_that_takes_its_time_is_whole_for_it(handler: FakeServerHandler, payload: object) -> None:
    handler.script = lambda request: []
    with live_server(handler) as url, connect(url) as client:
        client.sendall(post(payload) * 2)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b"H"  # tells clients that have gone from those that wait
        finish(handler)
        wait_until(lambda: len(handler.requests) == 2)
        finish(handler)
        answer = b"H" + read_all(client)
        assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
        assert answer.count(b"data: [DONE]" if payload is STREAM else b'"usage"') == 2
        assert handler.cancelled == []


def test_a_client_that_ends_its_sending_and_later_goes_is_noticed(handler: FakeServerHandler) -> None:
    with live_server(handler) as url:
        client = connect(url)
        client.sendall(post())
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b"H"
        assert handler.cancelled == []
        client.close()
        wait_until(lambda: handler.cancelled)


def test_half_a_request_gets_no_answer(url: str) -> None:
    assert exchange(url, post()[:-1], ends_sending=True) == b""
    assert exchange(url, post()[:40], ends_sending=True) == b""


def test_an_idle_connection_closes_with_its_client(url: str) -> None:
    with connect(url) as client:
        client.sendall(post())
        read_until(client, b"}}")
        client.shutdown(socket.SHUT_WR)
        wait_until(lambda: not is_open(client))
