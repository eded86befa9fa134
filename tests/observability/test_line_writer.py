from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from api.observability.line_writer import LineWriter
from tests.fakes.live_server import wait_until


class Pipe:
    """A pipe whose reader reads when it is told to."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.stream = open(writer, "w", encoding="utf-8")  # noqa: SIM115
        self.text = ""

    def read_until(self, ending: str) -> str:
        self.text = ""
        while not self.text.endswith(ending):
            self.text += os.read(self.reader, 65536).decode()
        return self.text


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.stream.close()


def create_writer(stream: TextIO | None, max_waiting_bytes: int = 100_000) -> LineWriter:
    return LineWriter(stream, lambda count: f"{count} dropped\n", max_waiting_bytes)


def fill(writer: LineWriter) -> int:
    """Puts lines until one is dropped, which says that nobody reads; returns their number."""
    num_lines = 0
    while not writer.is_full:
        writer.put("x" * 999 + "\n")
        num_lines += 1
    return num_lines


def test_lines_come_out_in_their_order(pipe: Pipe) -> None:
    writer = create_writer(pipe.stream)
    for number in range(100):
        writer.put(f"{number} ✓\n")
    assert pipe.read_until("99 ✓\n").splitlines() == [f"{number} ✓" for number in range(100)]


def test_a_reader_that_takes_nothing_blocks_nobody_and_hears_what_it_missed(pipe: Pipe) -> None:
    writer = create_writer(pipe.stream)
    num_lines = fill(writer)
    for _ in range(7):
        writer.put("missed\n")
    writer.drop()
    reading = threading.Thread(target=pipe.read_until, args=("heard\n",), daemon=True)
    reading.start()
    wait_until(lambda: not writer.is_full)
    writer.put("heard\n")
    reading.join(10)
    lines = pipe.text.splitlines()
    assert (lines.count("x" * 999), lines.count("8 dropped"), lines.count("missed")) == (num_lines, 1, 0)


def test_a_flush_waits_for_what_was_put_before_but_not_for_ever(pipe: Pipe) -> None:
    writer = create_writer(pipe.stream)
    fill(writer)
    assert not writer.flush(0.01)
    reading = threading.Thread(target=pipe.read_until, args=("end\n",), daemon=True)
    reading.start()
    assert writer.flush(10)
    writer.put("end\n")
    reading.join(10)


def test_a_reader_that_has_gone_is_no_error_and_another_may_come(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    fifo = tmp_path_factory.mktemp("fifo") / "log"
    os.mkfifo(fifo)
    first = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with fifo.open("w") as stream:
        writer = create_writer(stream)
        os.close(first)
        writer.put("lost\n")
        assert writer.flush(10)
        second = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        writer.put("heard\n")
        assert writer.flush(10)
        assert os.read(second, 100) == b"heard\n1 dropped\n"
        os.close(second)


def test_a_non_blocking_pipe_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.stream.fileno(), False)
    writer = create_writer(pipe.stream, 10_000_000)
    writer.put("x" * 1_000_000 + "\n")
    assert len(pipe.read_until("\n")) == 1_000_001


def test_a_line_larger_than_the_queue_is_taken_when_nothing_waits(pipe: Pipe) -> None:
    writer = create_writer(pipe.stream, 1000)
    writer.put("x" * 5000 + "\n")
    assert len(pipe.read_until("\n")) == 5001


def test_the_thread_ends_behind_the_last_line() -> None:
    stream = io.StringIO()
    writer = create_writer(stream)
    writer.put("a\n")
    writer.close()
    wait_until(lambda: not writer._thread.is_alive())
    assert stream.getvalue() == "a\n"
    assert not writer.flush(10)


def test_a_process_without_stderr_logs_into_nothing() -> None:
    writer = create_writer(None)
    writer.put("a\n")
    assert writer.flush(10)
