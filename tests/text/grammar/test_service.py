"""The service with real compiler processes: who waits for whom, and what is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from llguidance import LLMatcher
from structlog.testing import capture_logs

from api.errors import InvalidRequestError, ServerSideError
from api.text.grammar.compiled_grammar import CompiledGrammar
from api.text.grammar.compiler_process import Abandoned, Compiled, CompilerProcess, Verdict
from api.text.grammar.job import GrammarJob, Markers
from api.text.grammar.service import MAX_KEPT, MAX_KEPT_SECONDS, GrammarService, Outcome
from api.text.grammar.vocabulary import VocabularySource
from api.text.tokenizer import Tokenizer
from api.types import Structure
from tests.text.grammar.bombs import BOMBS

WAIT_SECONDS = 60


def job_of(*choices: str) -> GrammarJob:
    return GrammarJob(Structure("choice", choices), None, Markers("", ""))


class Asker:
    """One request: what it is told, and whether it is still there."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.is_wanted = True
        self._done = threading.Event()

    def ask(self, service: GrammarService, job: GrammarJob, client_id: str = "c") -> Asker:
        service.compile(job, client_id, lambda: self.is_wanted, self._take)
        return self

    def wait(self) -> Outcome:
        assert self._done.wait(WAIT_SECONDS)
        return self.outcomes[0]

    def _take(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._done.set()


@pytest.fixture
def vocabulary(tokenizer: Tokenizer) -> VocabularySource:
    return VocabularySource.of(tokenizer)


@pytest.fixture
def service(vocabulary: VocabularySource) -> Iterator[GrammarService]:
    service = GrammarService(vocabulary, max_compilers=3)
    yield service
    service.close()


class Gate:
    """Stands for the processes: compiles when it is opened, and knows what it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[str] = []
        self.opened: set[str] = set()
        self._changed = threading.Condition()
        compile_for_good = CompilerProcess.compile

        def compile_behind_gate(
            process: CompilerProcess, job: GrammarJob, is_wanted: Callable[[], bool]
        ) -> Verdict:
            assert job.structure is not None
            name = job.structure.value[0]
            with self._changed:
                self.begun.append(name)
                self._changed.notify_all()
                self._changed.wait_for(lambda: name in self.opened, WAIT_SECONDS)
            return compile_for_good(process, job, is_wanted) if is_wanted() else Abandoned()

        monkeypatch.setattr(CompilerProcess, "compile", compile_behind_gate)

    def open(self, *names: str) -> None:
        with self._changed:
            self.opened |= set(names)
            self._changed.notify_all()

    def wait_begun(self, *names: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: set(names) <= set(self.begun), WAIT_SECONDS)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


def test_a_grammar_is_compiled_once_and_kept(service: GrammarService) -> None:
    first = Asker().ask(service, job_of("a", "b")).wait()
    assert isinstance(first, CompiledGrammar)
    again = Asker().ask(service, job_of("a", "b"))
    assert again.outcomes == [first]  # at once


def test_a_refusal_is_kept_too(service: GrammarService) -> None:
    job = GrammarJob(Structure("regex", "(", "guided_regex"), None, Markers("", ""))
    refusal = Asker().ask(service, job).wait()
    assert isinstance(refusal, InvalidRequestError)
    assert refusal.param == "guided_regex"
    assert Asker().ask(service, job).outcomes == [refusal]


def test_what_cannot_be_sent_is_refused_at_once(service: GrammarService) -> None:
    (refusal,) = Asker().ask(service, job_of("\ud800")).outcomes
    assert isinstance(refusal, InvalidRequestError)


def test_requests_for_one_grammar_wait_for_one_compilation(service: GrammarService, gate: Gate) -> None:
    askers = [Asker().ask(service, job_of("a"), str(index)) for index in range(5)]
    gate.wait_begun("a")
    gate.open("a")
    assert len({id(asker.wait()) for asker in askers}) == 1
    assert gate.begun == ["a"]


def test_a_slow_grammar_holds_up_no_other(service: GrammarService, gate: Gate) -> None:
    gate.open("quick")
    slow = Asker().ask(service, job_of("slow"))
    gate.wait_begun("slow")
    assert isinstance(Asker().ask(service, job_of("quick")).wait(), CompiledGrammar)
    assert slow.outcomes == []
    gate.open("slow")
    assert isinstance(slow.wait(), CompiledGrammar)


def test_one_client_never_has_all_compilers(service: GrammarService, gate: Gate) -> None:
    greedy = [Asker().ask(service, job_of(f"greedy{index}"), "greedy") for index in range(6)]
    gate.wait_begun("greedy0", "greedy1")
    gate.open("modest")
    assert isinstance(Asker().ask(service, job_of("modest"), "modest").wait(), CompiledGrammar)
    assert gate.begun == ["greedy0", "greedy1", "modest"]
    gate.open(*(f"greedy{index}" for index in range(6)))
    for asker in greedy:
        asker.wait()


def test_whoever_left_is_not_served(service: GrammarService, gate: Gate) -> None:
    busy = [Asker().ask(service, job_of(f"busy{index}"), str(index)) for index in range(3)]
    gate.wait_begun("busy0", "busy1", "busy2")
    gone, last = Asker().ask(service, job_of("gone")), Asker().ask(service, job_of("last"))
    gone.is_wanted = False
    gate.open("busy0", "busy1", "busy2", "last", "gone")
    for asker in (*busy, last):
        asker.wait()
    assert (gone.outcomes, "gone" in gate.begun) == ([], False)


def test_whoever_comes_while_a_compilation_is_given_up_gets_it(service: GrammarService, gate: Gate) -> None:
    first = Asker().ask(service, job_of("a"))
    gate.wait_begun("a")
    first.is_wanted = False
    gate.open("a")
    second = Asker().ask(service, job_of("a"))
    assert isinstance(second.wait(), CompiledGrammar)


def test_few_are_kept(service: GrammarService) -> None:
    for index in range(MAX_KEPT + 5):
        Asker().ask(service, job_of(f"word {index}")).wait()
    assert len(service._kept) == MAX_KEPT
    assert not service._tasks and not service._waiting and not service._running


def test_few_large_ones_are_kept(service: GrammarService, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = MAX_KEPT_SECONDS / 4
    monkeypatch.setattr(
        CompilerProcess, "compile", lambda *_: Compiled(LLMatcher.grammar_from_regex("a"), seconds)
    )
    for index in range(10):
        Asker().ask(service, job_of(f"large {index}")).wait()
    assert len(service._kept) == 4
    Asker().ask(service, job_of("large 9"))
    assert len(service._kept) == 4  # it was kept


@pytest.mark.parametrize(
    "name", ["chain of 950 through ref", "chain of 950 through allOf", "chained terminals within the limit"]
)
def test_what_the_process_compiled_the_server_can_compile(service: GrammarService, name: str) -> None:
    """Its stack is larger: that this test lives is the point."""
    outcome = Asker().ask(service, GrammarJob(BOMBS[name], None, Markers("", ""))).wait()
    assert isinstance(outcome, CompiledGrammar)
    outcome.new_matcher().compute_bitmask()


def test_a_hand_without_work_sleeps(service: GrammarService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.text.grammar.service._MAX_IDLE_SECONDS", 0.05)
    Asker().ask(service, job_of("a")).wait()
    num_waits, wait = 0, service._changed.wait

    def counted(timeout: float | None = None) -> bool:
        nonlocal num_waits
        num_waits += 1
        return wait(timeout)

    monkeypatch.setattr(service._changed, "wait", counted)
    time.sleep(0.5)
    assert num_waits <= 11  # one for each 0.05 s; a compiler that spins waits thousands of times
    assert isinstance(Asker().ask(service, job_of("b")).wait(), CompiledGrammar)


def test_the_end_ends_the_processes(vocabulary: VocabularySource) -> None:
    service = GrammarService(vocabulary)
    Asker().ask(service, job_of("a")).wait()
    (process,) = service._processes
    running: Any = process._process
    service.close()
    assert running.wait(WAIT_SECONDS) is not None
    end_seconds = time.monotonic() + WAIT_SECONDS
    while service._processes and time.monotonic() < end_seconds:
        time.sleep(0.01)
    assert not service._processes


def test_a_tokenizer_of_another_make_is_named() -> None:
    service = GrammarService(VocabularySource(None, ()))
    (refusal,) = Asker().ask(service, job_of("a")).outcomes
    assert isinstance(refusal, InvalidRequestError)
    assert "tokenizer" in refusal.message
    assert refusal.param == "response_format"


def test_a_compilation_that_breaks_is_logged_with_the_names_of_those_who_wait(
    service: GrammarService, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked = threading.Event()

    def breaks(*_: object) -> Verdict:
        assert is_asked.wait(WAIT_SECONDS)
        raise RuntimeError("broken")

    monkeypatch.setattr(CompilerProcess, "compile", breaks)
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    with capture_logs() as lines:
        for name in ("x-1", "x-2"):
            service.compile(job_of("a"), "c", lambda: True, outcomes.put, name)
        is_asked.set()
        assert all(isinstance(outcomes.get(timeout=WAIT_SECONDS), ServerSideError) for _ in range(2))
    assert [(line["event"], line["x_request_ids"]) for line in lines] == [
        ("compiling a grammar failed", ["x-1", "x-2"])
    ]
