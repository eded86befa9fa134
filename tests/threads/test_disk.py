from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import structlog
from structlog.testing import capture_logs

from api.engine.disk.prefix_disk import NoPrefixDisk, PromptReading
from api.engine.sequences.sequence import Sequence
from api.errors import StartupError
from api.threads.disk import DiskWriterThread, PrefetchThread
from api.types import Cancel
from tests.engine.factories import create_sequence
from tests.threads.fakes import create_engine


class FakeReading:
    """Sends labels in place of blocks; 'x' breaks."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = iter(pieces)
        self.after_first: Any = lambda: None

    def next(self) -> Any:
        piece = next(self._pieces, None)
        if piece == "x":
            raise RuntimeError("the disk broke")
        after, self.after_first = self.after_first, lambda: None
        after()
        return piece


class FakeDisk(NoPrefixDisk):
    def __init__(self, readings: dict[int, FakeReading]) -> None:
        self._readings = readings
        self.calls: list[str] = []

    def read(self, sequence: Sequence) -> PromptReading:
        return self._readings.get(sequence.sequence_id, FakeReading(""))

    def write(self) -> None:
        self.calls.append("write")

    def close(self) -> None:
        self.calls.append("close")


class Stage:
    """The thread's body, run to its end in the test's own thread."""

    def __init__(self, readings: dict[int, FakeReading] | None = None) -> None:
        self.arrivals: SimpleQueue[Any] = SimpleQueue()
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.loaded: Future[Any] = Future()
        self.disk = FakeDisk(readings or {})
        self.thread = PrefetchThread(self.arrivals, self.inbox, self.loaded)

    def run(self, *messages: Sequence | Cancel) -> list[Any]:
        """What the batch gets, sequences by their number."""
        engine = create_engine()
        engine.prefix_disk = self.disk
        self.loaded.set_result(engine)
        for message in messages:
            self.arrivals.put(message)
        self.thread._wait = self._wait_or_end  # type: ignore[method-assign]
        self.thread.run()
        sent = [self.inbox.get() for _ in range(self.inbox.qsize())]
        return [each.sequence_id if isinstance(each, Sequence) else each for each in sent]

    def _wait_or_end(self) -> Any:
        return None if self.arrivals.empty() else self.arrivals.get()


ONE, TWO, THREE = (create_sequence(number) for number in (1, 2, 3))


def test_what_has_nothing_to_be_read_goes_on_at_once() -> None:
    assert Stage().run(ONE, Cancel("r1"), TWO) == [1, Cancel("r1"), 2]


def test_blocks_come_before_their_prompt_and_short_prompts_wait_for_nobody() -> None:
    stage = Stage({1: FakeReading("abc"), 2: FakeReading("de")})
    assert stage.run(ONE, TWO, THREE) == ["a", "d", 3, "b", "c", 1, "e", 2]


def test_a_cancel_ends_the_reading_and_stays_behind_its_request() -> None:
    one = FakeReading("abcdef")
    stage = Stage({1: one, 2: FakeReading("gh")})
    one.after_first = lambda: stage.arrivals.put(Cancel("r1"))
    assert stage.run(ONE, TWO) == ["a", "g", 1, Cancel("r1"), "h", 2]


def test_a_long_prompt_lets_those_pass_that_come_meanwhile() -> None:
    one = FakeReading("abcdef")
    stage = Stage({1: one})
    one.after_first = lambda: stage.arrivals.put(TWO)
    assert stage.run(ONE) == ["a", 2, "b", "c", "d", "e", "f", 1]


def test_a_disk_that_breaks_costs_its_blocks_only() -> None:
    with capture_logs() as logs:
        assert Stage({1: FakeReading("ax")}).run(ONE, TWO) == ["a", 2, 1]
    assert [line["log_level"] for line in logs] == ["error"]


def test_a_line_about_the_disk_has_the_name_of_the_request_that_it_was_read_for() -> None:
    sequence = replace(ONE, x_request_id="x-1")
    with capture_logs(processors=(structlog.contextvars.merge_contextvars,)) as logs:
        Stage({1: FakeReading("ax")}).run(sequence)
    assert [(line["event"], line["x_request_id"]) for line in logs] == [
        ("reading blocks from disk failed", "x-1")
    ]


def test_ends_at_the_end_and_when_the_model_cannot_be_loaded() -> None:
    stage = Stage()
    stage.loaded.set_exception(StartupError("no model"))
    stage.thread.run()
    DiskWriterThread(stage.loaded).run()
    DiskWriterThread(stage.loaded).close()
    other = Stage()
    other.arrivals.put(None)
    assert other.run() == []


def test_the_writer_writes_until_it_is_closed() -> None:
    engine, disk = create_engine(), FakeDisk({})
    engine.prefix_disk = disk
    loaded: Future[Any] = Future()
    writer = DiskWriterThread(loaded)
    writer.close()  # before there is anything to close
    loaded.set_result(engine)
    writer.run()
    writer.close()
    assert disk.calls == ["write", "close"]
