"""A compiler over a small byte-level vocabulary: every text can be spelled, and a mask costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.text.grammar.compiled_grammar import CompiledGrammar
from api.text.grammar.compiler import GrammarCompiler
from api.text.grammar.vocabulary import VocabularySource
from api.text.tokenizer import Tokenizer
from api.types import Structure
from benchmarks.json_schemas import Sampler, accepts


@pytest.fixture(scope="session")
def tokenizer(load_kind: Callable[[str], Tokenizer]) -> Tokenizer:
    return load_kind("byte_level")


@pytest.fixture(scope="session")
def compiler(tokenizer: Tokenizer) -> GrammarCompiler:
    return GrammarCompiler(VocabularySource.of(tokenizer))


@pytest.fixture(scope="session")
def compile_schema(compiler: GrammarCompiler) -> Callable[[Any], CompiledGrammar]:
    return lambda schema: compiler.compile(Structure("json_schema", schema))


@pytest.fixture(scope="session")
def takes(compiler: GrammarCompiler) -> Callable[[CompiledGrammar, str], bool]:
    """Tells whether a text is a whole answer."""
    return lambda grammar, text: accepts(grammar.new_matcher(), compiler, text)


@pytest.fixture
def sampler(tokenizer: Tokenizer) -> Sampler:
    return Sampler(tokenizer)
