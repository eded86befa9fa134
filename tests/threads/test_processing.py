from __future__ import annotations

from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from api.engine.sequence import Sequence
from api.errors import ServerSideError, StartupError
from api.events import Opened, Rejected
from api.threads.contracts import Aside
from api.threads.processing import ProcessingThread
from api.types import Cancel
from tests.threads.fakes import create_engine, create_request


class Stage:
    """The thread's body, run to its end in the test's own thread."""

    def __init__(self) -> None:
        self.requests: SimpleQueue[Any] = SimpleQueue()
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.results: SimpleQueue[Any] = SimpleQueue()
        self.engine = create_engine()
        self.loaded: Future[Any] = Future()
        self.thread = ProcessingThread(self.requests, self.inbox, self.results, self.loaded)

    def run(self) -> tuple[list[Any], list[Any]]:
        self.loaded.set_result(self.engine)
        self.requests.put(None)
        self.thread.run()
        return _drain(self.inbox), _drain(self.results)


def _drain(queue: SimpleQueue[Any]) -> list[Any]:
    return [queue.get() for _ in range(queue.qsize())]


def test_opens_the_output_side_and_hands_over_the_sequence() -> None:
    stage = Stage()
    stage.requests.put(create_request("a"))
    (sequence,), (opened,) = stage.run()
    assert isinstance(sequence, Sequence)
    assert isinstance(opened, Opened)
    assert (sequence.request_id, opened.request_id, opened.num_prompt_tokens) == ("a", "a", 3)


def test_a_refused_request_never_reaches_the_batch() -> None:
    stage = Stage()
    stage.requests.put(create_request("a", "@"))
    inbox, (rejected,) = stage.run()
    assert inbox == []
    assert isinstance(rejected, Rejected)
    assert rejected.error.status == 400


def test_even_a_panic_fails_its_request_alone() -> None:
    stage = Stage()
    read = stage.engine.prompt_reader.read

    def panicking_read(request: Any) -> Any:
        if request.request_id == "a":
            raise BaseException("a Rust panic")
        return read(request)

    stage.engine.prompt_reader.read = panicking_read  # type: ignore[method-assign]
    stage.requests.put(create_request("a"))
    stage.requests.put(create_request("b"))
    inbox, results = stage.run()
    assert [message.request_id for message in inbox] == ["b"]
    assert [type(message) for message in results] == [Rejected, Opened]
    assert results[0].error.status == 500
    assert "panic" not in results[0].error.message  # details are for the log


def test_a_cancel_is_passed_to_both_sides_and_forgotten() -> None:
    stage = Stage()
    stage.requests.put(create_request("a"))
    stage.thread.cancel("a")
    stage.thread.cancel("a")
    inbox, results = stage.run()
    assert inbox == results == [Cancel("a"), Cancel("a")]
    assert stage.engine.prompt_reader.read_ids == []
    assert not stage.thread._cancelled


def test_ends_when_the_model_cannot_be_loaded() -> None:
    stage = Stage()
    stage.loaded.set_exception(StartupError("no model"))
    stage.thread.run()
    assert stage.inbox.empty()


def test_every_choice_has_its_own_sequence_and_pipeline() -> None:
    stage = Stage()
    stage.requests.put(create_request("a", num_choices=3))
    sequences, (opened,) = stage.run()
    assert [sequence.choice_index for sequence in sequences] == [0, 1, 2]
    assert (len(opened.pipelines), opened.num_choices) == (3, 3)
    assert opened.num_prompt_tokens == 3  # one prompt, counted once


def test_what_is_asked_aside_is_answered_or_raised() -> None:
    stage = Stage()
    good: Future[Any] = Future()
    bad: Future[Any] = Future()
    left: Future[Any] = Future()
    left.cancel()

    def panic(reader: Any) -> None:
        raise BaseException("a Rust panic")

    stage.requests.put(Aside(lambda reader: reader.detokenize([104, 105]), good))
    stage.requests.put(Aside(lambda reader: reader.tokenize("x", False), left))
    stage.requests.put(Aside(panic, bad))
    assert stage.run() == ([], [])
    assert good.result() == "hi"
    assert isinstance(bad.exception(), ServerSideError)
