"""What a server must survive beside its normal load: big bodies, bombs, slow clients, clients that vanish."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from tests.live.client import Api, Json, expect
from tests.text.grammar.bombs import BOMBS

TIMEOUT_SECONDS = 300
_CHAT = "/v1/chat/completions"
_MB = 1_000_000


def chat(content: Any = "Hello", **fields: Any) -> Json:
    return {"model": "model", "max_tokens": 4, "messages": [{"role": "user", "content": content}]} | fields


@cache
def big_bodies() -> tuple[bytes, ...]:
    """6 to 16 MB each, none of which the model could read."""
    unknown = json.dumps(chat(x=0)).encode()[:-2]  # up to the value of a field that nobody knows
    message = {"role": "user", "content": "x" * 120}
    return (
        json.dumps(chat(messages=[{"role": "user", "content": "hello there"}] * 130_000)).encode(),
        json.dumps(chat(messages=[message] * 100_000)).encode(),
        json.dumps(chat("a" * 15 * _MB)).encode(),
        json.dumps(chat("The quick brown fox. " * 700_000)).encode(),
        json.dumps(chat("\U0001f600" * 1_250_000)).encode(),
        unknown + b"[" + b"[]," * 5_000_000 + b"0]}",
        unknown + b"{" + b",".join(b'"%x":1' % number for number in range(1_000_000)) + b"}}",
        unknown + b"[" * 100_000 + b"]" * 100_000 + b"}",
    )


def request(body: bytes, path: str = _CHAT) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _connect(api: Api) -> Connection:
    url = urlsplit(str(api.http.base_url))
    return await asyncio.open_connection(url.hostname, url.port)


async def _status(reader: asyncio.StreamReader) -> int:
    line = await asyncio.wait_for(reader.readline(), TIMEOUT_SECONDS)
    expect(line.startswith(b"HTTP/1.1 "), f"no answer but {line[:80]!r}")
    return int(line.split()[1])


async def _big(api: Api, connection: Connection, draw: random.Random) -> None:
    reader, writer = connection
    writer.write(request(draw.choice(big_bodies())))
    expect(await _status(reader) in (400, 413, 429), "a body that no model can read is taken")


async def _bomb(api: Api, connection: Connection, draw: random.Random) -> None:
    reader, writer = connection
    bomb = draw.choice(list(BOMBS.values()))
    if bomb.kind == "json_schema":
        form: Json = {
            "response_format": {"type": bomb.kind, "json_schema": {"name": "x", "schema": bomb.value}}
        }
    else:
        form = {"structured_outputs": {"grammar" if bomb.kind == "lark" else bomb.kind: bomb.value}}
    writer.write(request(json.dumps(chat(**form)).encode()))
    if draw.random() < 0.5:
        expect(await _status(reader) in (200, 400, 429), "a grammar is neither taken nor refused")


async def _slow(api: Api, connection: Connection, draw: random.Random) -> None:
    data = request(json.dumps(chat("word " * 200)).encode())
    for part in range(4):
        connection[1].write(data[part * len(data) // 5 : (part + 1) * len(data) // 5])
        await asyncio.sleep(draw.uniform(0.0, 0.5))


async def _pipelined(api: Api, connection: Connection, draw: random.Random) -> None:
    connection[1].write(request(json.dumps(chat(stream=True, max_tokens=300, ignore_eos=True)).encode()) * 2)
    await connection[1].drain()


async def _half_closed(api: Api, connection: Connection, draw: random.Random) -> None:
    reader, writer = connection
    writer.write(request(json.dumps(chat(stream=draw.random() < 0.5)).encode()))
    writer.write_eof()
    expect(await _status(reader) in (200, 429), "a client that is done sending gets no answer")


async def _flood(api: Api, connection: Connection, draw: random.Random) -> None:
    text = "The quick brown fox. " * 50_000
    connection[1].write(request(json.dumps({"prompt": text}).encode(), "/tokenize"))
    await connection[1].drain()


Abuse = Callable[[Api, Connection, random.Random], Awaitable[None]]

ABUSES: dict[str, Abuse] = {
    "big body": _big,
    "bomb": _bomb,
    "slow client": _slow,
    "pipelined and gone": _pipelined,
    "half-closed": _half_closed,
    "tokenize flood": _flood,
}


async def abuse(api: Api, kind: str, draw: random.Random) -> None:
    """Raises CheckFailedError for an answer that no client should get."""
    connection = await _connect(api)
    try:
        await ABUSES[kind](api, connection, draw)
    finally:
        connection[1].transport.abort()
