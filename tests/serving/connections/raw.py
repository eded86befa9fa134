"""Requests as bytes on a socket, since the connection is the thing under test."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import orjson

CHAT = {"model": "model", "messages": [{"role": "user", "content": "hi"}]}


def connect(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def post(
    payload: object = CHAT,
    headers: Mapping[str, str] | None = None,
    version: str = "1.1",
    method: str = "POST",
) -> bytes:
    body = orjson.dumps(payload)
    lines = [f"{method} /v1/chat/completions HTTP/{version}", "Host: x", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_all(connection: socket.socket) -> bytes:
    """Until the server closes; raises TimeoutError where it does not."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def read_until(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while end not in received:
        part = connection.recv(65536)
        assert part, received
        received += part
    return received


def exchange(url: str, data: bytes, *, ends_sending: bool = False) -> bytes:
    with connect(url) as connection:
        connection.sendall(data)
        if ends_sending:
            connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        connection.settimeout(10)
