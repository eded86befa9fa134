"""Whatever is compiled, a verdict comes back and the next job is served."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from api.errors import InvalidRequestError, ServerSideError
from api.text.grammar.compiler_process import Abandoned, Compiled, CompilerProcess, Verdict
from api.text.grammar.job import GrammarJob, Markers
from api.text.grammar.vocabulary import VocabularySource
from api.text.tokenizer import Tokenizer
from api.types import Structure
from tests.text.grammar.bombs import BOMBS
from tests.text.grammar.drawn import grammars, schema_graphs

GOOD = Structure("choice", ("yes", "no"))
SLOW = Structure(
    "json_schema", {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(5000)}}
)


@pytest.fixture(scope="module")
def process(tokenizer: Tokenizer) -> Iterator[CompilerProcess]:
    process = CompilerProcess(VocabularySource.of(tokenizer), max_seconds=1.5)
    yield process
    process.close()


def compile_in(process: CompilerProcess, structure: Structure) -> Verdict:
    return process.compile(GrammarJob(structure, None, Markers("", "")), lambda: True)


def test_the_source_comes_back(process: CompilerProcess) -> None:
    verdict = compile_in(process, GOOD)
    assert isinstance(verdict, Compiled)
    assert "yes" in verdict.source


def test_a_refusal_names_its_field(process: CompilerProcess) -> None:
    verdict = compile_in(process, Structure("regex", "(", "guided_regex"))
    assert isinstance(verdict, InvalidRequestError)
    assert verdict.param == "guided_regex"


@pytest.mark.parametrize("structure", BOMBS.values(), ids=BOMBS)
def test_a_bomb_gets_its_verdict_and_the_next_job_is_served(
    process: CompilerProcess, structure: Structure
) -> None:
    verdict = compile_in(process, structure)
    assert isinstance(verdict, Compiled | InvalidRequestError)
    if isinstance(verdict, InvalidRequestError):
        assert verdict.message.startswith("Invalid")
    assert isinstance(compile_in(process, GOOD), Compiled)


def test_what_takes_too_long_is_refused(tokenizer: Tokenizer) -> None:
    process = CompilerProcess(VocabularySource.of(tokenizer), max_seconds=0.05)
    verdict = compile_in(process, SLOW)
    process.close()
    assert isinstance(verdict, InvalidRequestError)
    assert "longer than 0.05 s" in verdict.message


def test_a_process_that_is_killed_is_started_again(process: CompilerProcess) -> None:
    compile_in(process, GOOD)
    assert process._process is not None
    os.kill(process._process.pid, signal.SIGKILL)
    process._process.wait()
    assert isinstance(compile_in(process, GOOD), Compiled)


def test_nobody_waits_so_nothing_is_compiled_on(process: CompilerProcess) -> None:
    job = GrammarJob(SLOW, None, Markers("", ""))
    assert isinstance(process.compile(job, lambda: False), Abandoned)
    assert isinstance(compile_in(process, GOOD), Compiled)


def test_the_process_ends_with_its_owner(tokenizer: Tokenizer) -> None:
    process = CompilerProcess(VocabularySource.of(tokenizer), max_seconds=4.0)
    compile_in(process, GOOD)
    running = process._process
    assert running is not None
    process.close()
    assert running.returncode is not None


class GrownProcess:
    """A connection whose other end says that it is about to end."""

    def send_bytes(self, data: bytes) -> None:
        pass

    def poll(self, seconds: float) -> bool:
        return True

    def recv_bytes(self) -> bytes:
        return b'{"source": "s", "seconds": 1.0, "is_last": true}'


def test_a_process_that_has_grown_is_not_asked_again(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, num_closed = CompilerProcess(VocabularySource.of(tokenizer), max_seconds=4.0), 0

    def close() -> None:
        nonlocal num_closed
        num_closed += 1

    monkeypatch.setattr(process, "_connected", GrownProcess)
    monkeypatch.setattr(process, "close", close)
    assert compile_in(process, GOOD) == Compiled("s", 1.0)
    assert num_closed == 1


def test_a_process_that_cannot_start_is_no_fault_of_the_grammar(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    verdict = compile_in(CompilerProcess(VocabularySource.of(tokenizer), max_seconds=4.0), GOOD)
    assert isinstance(verdict, ServerSideError)


drawn = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@drawn
@given(schema=schema_graphs())
def test_schemas_drawn_as_graphs_get_a_verdict(process: CompilerProcess, schema: object) -> None:
    """The process holds each to its limits of time and memory; a failure of our own would be no refusal."""
    verdict = compile_in(process, Structure("json_schema", schema))
    assert isinstance(verdict, Compiled | InvalidRequestError), verdict


@drawn
@given(grammar=grammars())
def test_grammars_of_any_size_get_a_verdict(process: CompilerProcess, grammar: str) -> None:
    verdict = compile_in(process, Structure("lark", grammar))
    assert isinstance(verdict, Compiled | InvalidRequestError), verdict
