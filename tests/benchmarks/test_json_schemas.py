from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from api.text.grammar.compiler import GrammarCompiler
from api.text.grammar.vocabulary import VocabularySource
from api.text.tokenizer import Tokenizer, load_tokenizer
from api.types import Structure
from benchmarks.json_schemas import Case, Sampler, Tally, check, measure_cost, read_suite
from tests.text.conftest import byte_level, write_folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(write_folder(tmp_path_factory.mktemp("tokenizer"), byte_level()))


@pytest.fixture(scope="module")
def compiler(tokenizer: Tokenizer) -> GrammarCompiler:
    return GrammarCompiler(VocabularySource.of(tokenizer))


TallyOf = Callable[[GrammarCompiler, Case], Tally]


@pytest.fixture
def tally_of(tokenizer: Tokenizer) -> TallyOf:
    def count(compiler: GrammarCompiler, case: Case) -> Tally:
        tally = Tally()
        check(case, compiler, Sampler(tokenizer), tally)
        return tally

    return count


def test_both_kinds_of_files_are_read(tmp_path: Path) -> None:
    group = {"description": "d", "schema": {"type": "null"}, "tests": [{"data": 1, "valid": False}]}
    (tmp_path / "group.json").write_text(json.dumps([group]))
    (tmp_path / "plain.json").write_text('{"type": "integer"}')
    (tmp_path / "torn.json").write_text('{"type": ')
    assert list(read_suite(tmp_path)) == [
        Case("group: d", {"type": "null"}, [(1, False)]),
        Case(f"{tmp_path.name}/plain", {"type": "integer"}),
    ]


def test_valid_answers_and_refused_schemas_are_counted(compiler: GrammarCompiler, tally_of: TallyOf) -> None:
    tally = tally_of(compiler, Case("c", {"type": "boolean"}, [(True, True), (1, False)]))
    assert tally.counts["answers valid"] > 0
    assert tally.counts["valid instances taken"] == 1
    assert tally.counts["wrong instances refused"] == 1
    assert tally.invalid == []
    assert tally_of(compiler, Case("c", {"contains": {}})).counts == {"refused": 1}


def test_what_the_grammar_lets_through_is_seen(
    compiler: GrammarCompiler, tally_of: TallyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    grammar = compiler.compile(Structure("json_schema", {"type": "boolean"}))
    monkeypatch.setattr(compiler, "compile", lambda structure: grammar)
    tally = tally_of(compiler, Case("c", {"type": "integer"}, [(True, False)]))
    assert tally.counts["answers INVALID"] > 0
    assert tally.counts["wrong instances taken"] == 1
    assert len(tally.invalid) == tally.counts["answers INVALID"] + 1


def test_the_cost_is_measured(compiler: GrammarCompiler) -> None:
    assert 0 < measure_cost(compiler, num_rows=2) < 1e5
