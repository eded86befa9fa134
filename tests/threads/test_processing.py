from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

from api.engine.sequences.sequence import Sequence
from api.errors import InvalidRequestError, ServerSideError, StartupError
from api.events import Opened, Rejected
from api.threads.contracts import Aside, Question
from api.threads.hands import LongWork
from api.threads.processing import MAX_SHORT_CHARS, ProcessingThread
from api.types import Cancel, Structure
from tests.threads.fakes import create_engine, create_request


class Stage:
    """The thread's body, run to its end in the test's own thread."""

    def __init__(self) -> None:
        self.requests: SimpleQueue[Any] = SimpleQueue()
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.results: SimpleQueue[Any] = SimpleQueue()
        self.engine = create_engine()
        self.loaded: Future[Any] = Future()
        self.loaded.set_result(self.engine)
        self.long_work = LongWork()
        self.thread = ProcessingThread(self.requests, self.inbox, self.results, self.loaded, self.long_work)

    def run(self) -> tuple[list[Any], list[Any]]:
        """May be called again: what the hands and the grammars did meanwhile is in the queue then."""
        self.requests.put(None)
        self.thread.run()
        return _drain(self.inbox), _drain(self.results)

    def run_hand(self) -> None:
        """Does the long work that waits, to its end."""
        work = self.long_work.get()
        assert work is not None
        work()


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

    def panicking_read(request: Any, grammar: Any) -> Any:
        if request.request_id == "a":
            raise BaseException("a Rust panic")
        return read(request, grammar)

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
    loaded: Future[Any] = Future()
    loaded.set_exception(StartupError("no model"))
    ProcessingThread(stage.requests, stage.inbox, stage.results, loaded, stage.long_work).run()
    assert stage.inbox.empty()


def test_every_choice_has_its_own_sequence_and_pipeline() -> None:
    stage = Stage()
    stage.requests.put(create_request("a", num_choices=3))
    sequences, (opened,) = stage.run()
    assert [sequence.choice_index for sequence in sequences] == [0, 1, 2]
    assert (len(opened.pipelines), opened.num_choices) == (3, 3)
    assert opened.num_prompt_tokens == 3  # one prompt, counted once


def aside(ask: Any, num_chars: int = 1, *, is_wanted: bool = True) -> tuple[Aside, list[Any]]:
    answers: list[Any] = []
    return Aside(Question(ask, num_chars), lambda: is_wanted, answers.append), answers


def test_what_is_asked_aside_is_answered_or_raised() -> None:
    stage = Stage()

    def panic(reader: Any) -> None:
        raise BaseException("a Rust panic")

    good, text = aside(lambda reader: reader.detokenize([104, 105]))
    left, nothing = aside(lambda reader: reader.tokenize("x", False), is_wanted=False)
    bad, error = aside(panic)
    for each in (good, left, bad):
        stage.requests.put(each)
    assert stage.run() == ([], [])
    assert (text, nothing) == (["hi"], [])
    assert isinstance(error[0], ServerSideError)


LONG = "x" * (MAX_SHORT_CHARS + 1)


def test_a_short_prompt_overtakes_a_long_one() -> None:
    stage = Stage()
    stage.requests.put(create_request("long", LONG))
    stage.requests.put(create_request("short"))
    inbox, _ = stage.run()
    assert [sequence.request_id for sequence in inbox] == ["short"]
    stage.run_hand()
    inbox, (opened,) = stage.run()
    assert [sequence.request_id for sequence in inbox] == [opened.request_id] == ["long"]
    assert not stage.thread._pending


def test_long_questions_wait_for_a_hand_too() -> None:
    stage = Stage()
    question, answers = aside(lambda reader: 7, len(LONG))
    stage.requests.put(question)
    stage.run()
    assert answers == []
    stage.run_hand()
    assert answers == [7]


def test_a_prompt_that_cannot_fit_is_refused_before_anything_is_done() -> None:
    stage = Stage()
    stage.requests.put(replace(create_request("a", "@@" + LONG), structure=Structure("json_object")))
    inbox, (rejected,) = stage.run()
    assert (inbox, rejected.error.code) == ([], "context_length_exceeded")
    assert stage.engine.grammars.waiting == []


def test_a_long_prompt_that_is_cancelled_is_not_read() -> None:
    stage = Stage()
    stage.requests.put(create_request("a", LONG))
    stage.run()
    stage.thread.cancel("a")
    stage.run_hand()  # before the cancel is taken
    assert stage.run() == ([Cancel("a")], [Cancel("a")])
    assert stage.engine.prompt_reader.read_ids == []
    assert not stage.thread._pending


def test_a_long_prompt_that_was_read_when_its_cancel_came_is_dropped() -> None:
    stage = Stage()
    stage.requests.put(create_request("a", LONG))
    stage.run()
    stage.run_hand()
    stage.thread.cancel("a")
    assert stage.run() == ([Cancel("a")], [Cancel("a")])


STRUCTURE = Structure("json_object")


def test_requests_without_a_grammar_do_not_wait_for_one() -> None:
    stage = Stage()
    stage.requests.put(replace(create_request("slow"), structure=STRUCTURE))
    stage.requests.put(create_request("free"))
    inbox, _ = stage.run()
    assert [sequence.request_id for sequence in inbox] == ["free"]
    ((job, is_wanted, deliver),) = stage.engine.grammars.waiting
    assert job is STRUCTURE
    assert is_wanted()
    deliver("the grammar")
    inbox, _ = stage.run()
    assert [sequence.request_id for sequence in inbox] == ["slow"]
    assert stage.engine.prompt_reader.grammars == {"free": None, "slow": "the grammar"}


def test_a_grammar_that_cannot_be_had_refuses_its_request() -> None:
    stage = Stage()
    stage.requests.put(replace(create_request("a"), structure=STRUCTURE))
    stage.run()
    stage.engine.grammars.waiting[0][2](InvalidRequestError("no such grammar"))
    inbox, (rejected,) = stage.run()
    assert (inbox, rejected.request_id, rejected.error.message) == ([], "a", "no such grammar")


def test_a_grammar_that_comes_after_the_cancel_is_nobodys() -> None:
    stage = Stage()
    stage.requests.put(replace(create_request("a"), structure=STRUCTURE))
    stage.run()
    stage.thread.cancel("a")
    _, is_wanted, deliver = stage.engine.grammars.waiting[0]
    assert not is_wanted()
    stage.run()
    deliver("the grammar")
    assert stage.run() == ([], [])
