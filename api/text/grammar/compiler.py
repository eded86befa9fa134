"""Compiles what an answer must look like into a grammar that the sampler follows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from llguidance import LLMatcher, LLTokenizer

from api.errors import InvalidRequestError
from api.text.grammar.compiled_grammar import CompiledGrammar, build_grammar, try_out
from api.text.grammar.errors import GrammarError, SchemaError, invalid_request
from api.text.grammar.job import GrammarJob
from api.text.grammar.sources import (
    KIND_NAMES,
    MAX_SOURCE_CHARS,
    json_source,
    json_term,
    schema_of,
    source_of,
)
from api.text.grammar.stacks import TRIAL_STACK_BYTES, run_with_stack
from api.text.grammar.tool_grammar import CallMarkers, call_schema, forced_calls, free_calls
from api.text.grammar.vocabulary import VocabularySource, build_vocabulary
from api.types import Structure, ToolUse

MAX_CACHED_GRAMMARS = 64


class GrammarCompiler:
    """Compiles, tries out, and keeps what was compiled lately. One thread uses it.

    A compilation takes milliseconds, or seconds, or all memory, or overflows the stack: the server runs it
    in processes of their own (``service.py``).
    """

    def __init__(self, source: VocabularySource, *, max_cached: int = MAX_CACHED_GRAMMARS) -> None:
        self._vocabulary_source = source
        self._built_vocabulary: LLTokenizer | None = None
        self._max_cached = max_cached
        self._cached: OrderedDict[str, CompiledGrammar] = OrderedDict()

    def run(self, job: GrammarJob) -> CompiledGrammar:
        """Raises InvalidRequestError, which names what cannot be enforced."""
        if job.tool_use is None:
            assert job.structure is not None
            return self.compile(job.structure)
        if job.structure is None:
            return self.compile_tool_calls(job.tool_use, job.markers)
        return self.compile_calls_or(job.structure, job.tool_use, job.markers)

    def compile(self, structure: Structure) -> CompiledGrammar:
        """Returns the grammar of a whole answer.

        A schema is enforced alike whether or not the request calls it strict. Raises
        InvalidRequestError, which names what cannot be enforced.
        """
        try:
            return self._from_source(source_of(structure))
        except (SchemaError, GrammarError) as error:
            raise _cannot_enforce(structure, error) from error

    def compile_calls_or(
        self, structure: Structure, tool_use: ToolUse, markers: CallMarkers
    ) -> CompiledGrammar:
        """Returns the grammar of an answer that either calls functions or is JSON of the structure.

        Raises InvalidRequestError, which names what cannot be enforced.
        """
        try:
            other = schema_of(structure)
            self._check(other)
        except (SchemaError, GrammarError) as error:
            raise _cannot_enforce(structure, error) from error
        return self._calls(tool_use, markers, partial(forced_calls, other=json_term(other)))

    def compile_tool_calls(self, tool_use: ToolUse, markers: CallMarkers) -> CompiledGrammar:
        """Returns the grammar of an answer that calls functions in mode "required", or may in mode "auto".

        Raises InvalidRequestError for parameters that must be enforced and cannot.
        """
        return self._calls(tool_use, markers, forced_calls if tool_use.mode == "required" else free_calls)

    def _calls(self, tool_use: ToolUse, markers: CallMarkers, build: Callable[..., str]) -> CompiledGrammar:
        try:
            is_forced = tool_use.mode == "required"
            schema = call_schema(tool_use.tools, tool_use.callable_names, self._check, is_forced=is_forced)
            source = build(
                self.vocabulary, markers, json_term(schema), allows_parallel=tool_use.allows_parallel
            )
            return self._from_source(LLMatcher.grammar_from_lark(source))
        except (SchemaError, GrammarError) as error:
            raise invalid_request("functions in tools", error, "tools") from error

    @property
    def vocabulary(self) -> LLTokenizer:
        """The token trie, built when it is first needed."""
        if self._built_vocabulary is None:
            self._built_vocabulary = build_vocabulary(self._vocabulary_source)
        return self._built_vocabulary

    def _check(self, schema: Any) -> None:
        """Raises GrammarError for a rewritten schema that cannot be enforced."""
        self._from_source(json_source(schema))

    def _from_source(self, source: str) -> CompiledGrammar:
        grammar = self._cached.get(source)
        if grammar is None:
            if len(source) > MAX_SOURCE_CHARS:
                raise GrammarError("it is too large")
            grammar = build_grammar(self.vocabulary, source)
            walk = partial(try_out, grammar.new_matcher(), self.vocabulary)
            run_with_stack(TRIAL_STACK_BYTES, walk)
            self._cached[source] = grammar
        self._cached.move_to_end(source)
        while len(self._cached) > self._max_cached:
            self._cached.popitem(last=False)
        return grammar


def _cannot_enforce(structure: Structure, error: ValueError) -> InvalidRequestError:
    param = structure.param
    if structure.kind == "json_schema" and param == "response_format":
        param = "response_format.json_schema.schema"
    return invalid_request(f"{KIND_NAMES[structure.kind]} for {structure.param}", error, param)
