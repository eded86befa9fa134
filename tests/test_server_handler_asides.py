"""Questions to the prompt reader through the whole ServerHandler."""

from __future__ import annotations

import asyncio
import threading

import pytest

from api.errors import NotServingError, QueueFullError, ServerSideError
from api.threads.contracts import Question, RequestReader
from api.threads.hands import NUM_HANDS
from api.threads.processing import MAX_SHORT_CHARS
from tests.fakes.serving_handler import run, serving, until
from tests.threads.fakes import create_engine, create_request


def tokenize(text: str) -> Question:
    return Question(lambda reader: reader.tokenize(text, False), len(text))


def test_the_prompt_reader_can_be_asked_aside() -> None:
    async def test() -> None:
        async with serving(create_engine()) as handler:
            assert await handler.read_aside(tokenize("hi")) == [104, 105]
            long = "x" * (MAX_SHORT_CHARS + 1)
            assert len(await handler.read_aside(tokenize(long))) == len(long)
            with pytest.raises(ServerSideError):
                await handler.read_aside(Question(lambda reader: reader.detokenize(["x"]), 1))  # type: ignore[list-item]
            assert handler.served_model.vocab_size == 256
        with pytest.raises(NotServingError):
            await handler.read_aside(tokenize("hi"))

    run(test)


def stuck(gate: threading.Event) -> Question:
    return Question(lambda reader: gate.wait(5), MAX_SHORT_CHARS + 1)


def test_questions_count_in_the_queue_and_arm_the_watchdog() -> None:
    gate = threading.Event()

    async def test() -> None:
        async with serving(create_engine(), max_batch_size=1, max_queue=1) as handler:
            asking = [asyncio.create_task(handler.read_aside(stuck(gate))) for _ in range(2)]
            await until(lambda: len(handler._asides) == 2)
            assert handler._watchdog.is_armed
            with pytest.raises(QueueFullError):
                await handler.read_aside(tokenize("hi"))
            with pytest.raises(QueueFullError):
                handler.submit(create_request("a"))
            gate.set()
            await asyncio.gather(*asking)
            assert not handler._watchdog.is_armed
            assert await handler.read_aside(tokenize("hi")) == [104, 105]

    run(test)


def test_a_question_whose_asker_left_is_not_read() -> None:
    gate = threading.Event()
    num_read = 0

    def read(reader: RequestReader) -> None:
        nonlocal num_read
        num_read += 1

    async def test() -> None:
        async with serving(create_engine()) as handler:
            busy = [asyncio.create_task(handler.read_aside(stuck(gate))) for _ in range(NUM_HANDS)]
            left = [
                asyncio.create_task(handler.read_aside(Question(read, MAX_SHORT_CHARS + 1))) for _ in range(5)
            ]
            await asyncio.sleep(0.01)
            for each in left:
                each.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            assert len(handler._asides) == NUM_HANDS
            gate.set()
            await asyncio.gather(*busy)
            await handler.read_aside(Question(lambda reader: None, MAX_SHORT_CHARS + 1))

    run(test)
    assert num_read == 0


def test_questions_fail_when_the_engine_dies() -> None:
    gate = threading.Event()

    async def test() -> None:
        async with serving(create_engine()) as handler:
            asking = asyncio.create_task(handler.read_aside(stuck(gate)))
            await until(lambda: len(handler._asides) == 1)
            handler._die("the test says so")
            with pytest.raises(ServerSideError):
                await asking
            gate.set()

    run(test)
