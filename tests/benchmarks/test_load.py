import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from benchmarks.load import Answer, LoadError, LoadResult, _lines, _read_answer


def event(content: str | None = None, **fields: object) -> bytes:
    choices = [] if content is None else [{"delta": {"content": content}, "finish_reason": None}]
    return b"data: " + json.dumps({"choices": choices} | fields).encode() + b"\n\n"


def read(wire: bytes) -> Answer:
    async def run() -> Answer:
        reader = asyncio.StreamReader()
        reader.feed_data(wire)
        reader.feed_eof()
        answer = Answer(started=0.0)
        await _read_answer(reader, answer)
        return answer

    return asyncio.run(run())


USAGE = {"prompt_tokens": 5, "completion_tokens": 2}
EVENTS = event("a") + b": keep-alive\n\n" + event("b") + event(usage=USAGE) + b"data: [DONE]\n\n"


def chunked(payload: bytes, size: int) -> bytes:
    parts = [payload[start : start + size] for start in range(0, len(payload), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 50, 100_000])
def test_chunked_streams_are_read_whatever_the_borders(size: int) -> None:
    answer = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(EVENTS, size))
    assert (len(answer.token_times), answer.num_prompt_tokens, answer.num_completion_tokens) == (2, 5, 2)


def test_reasoning_is_a_sign_of_life_and_no_text() -> None:
    thought = b'data: {"choices": [{"delta": {"reasoning_content": "hm"}}]}\n\n'
    answer = read(b"HTTP/1.0 200 OK\r\n\r\n" + thought + EVENTS)
    assert (len(answer.token_times), answer.text) == (3, "ab")


def test_streams_that_end_with_the_connection_are_read() -> None:
    assert len(read(b"HTTP/1.0 200 OK\r\n\r\n" + EVENTS).token_times) == 2


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"HTTP/1.1 429 Too Many\r\n\r\nwait", "HTTP 429: wait"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + event("a"), "without"),
        (b'HTTP/1.1 200 OK\r\n\r\ndata: {"error": {"code": 1}}\n', "error event"),
        (b"", "closed the connection"),
    ],
)
def test_anything_but_a_complete_stream_raises(wire: bytes, message: str) -> None:
    with pytest.raises(LoadError, match=message.replace("[", r"\[")):
        read(wire)


def test_lines_join_over_blocks() -> None:
    async def blocks() -> AsyncIterator[bytes]:
        for block in (b"on", b"e\r\ntw", b"o\n", b"rest"):
            yield block

    async def collect() -> list[bytes]:
        return [line async for line in _lines(blocks())]

    assert asyncio.run(collect()) == [b"one", b"two"]


def test_rates_and_gaps() -> None:
    answer = Answer(started=1.0, token_times=[2.0, 2.5, 4.0], ended=5.0, num_completion_tokens=3)
    empty = Answer(started=1.0, ended=3.0)
    result = LoadResult((answer, empty), wall_seconds=6.0)
    assert result.output_tokens_per_second == 0.5
    assert result.gaps_seconds == [0.5, 1.5]
    assert result.ttfts_seconds == [1.0, 2.0]
