"""Compiles what an answer must look like into a grammar that the sampler follows."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from api.errors import InvalidRequestError
from api.text.grammar.errors import GrammarError, SchemaError, grammar_error, invalid_request
from api.text.grammar.sources import (
    KIND_NAMES,
    MAX_SOURCE_CHARS,
    json_source,
    json_term,
    schema_of,
    source_of,
)
from api.text.grammar.tool_grammar import CallMarkers, call_schema, forced_calls, free_calls
from api.text.grammar.vocabulary import build_vocabulary
from api.text.tokenizer import Tokenizer
from api.types import Structure, ToolUse

MAX_CACHED_GRAMMARS = 64
# What a matcher may do for one token: about 15 ms and 50 MB at worst, then that one request fails.
_MAX_STEP_FUEL = 200_000
_MAX_STEP_ITEMS = 50_000
_MAX_LEXER_STATES = 50_000
_MAX_GRAMMAR_SYMBOLS = 200_000
_NUM_TRIAL_TOKENS = 40


class CompiledGrammar:
    """A matcher at the start, copied for each sequence; the copies share nothing that changes."""

    def __init__(self, prototype: LLMatcher) -> None:
        self._prototype = prototype

    def new_matcher(self) -> LLMatcher:
        return self._prototype.deep_copy()


class GrammarCompiler:
    """Compiles, and keeps what was compiled lately. One thread uses it; the grammars may go to another.

    A compilation takes milliseconds, about a second at the limits below.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_cached: int = MAX_CACHED_GRAMMARS) -> None:
        self.tokenizer = tokenizer
        self._built_vocabulary: LLTokenizer | None = None
        self._max_cached = max_cached
        self._cached: OrderedDict[str, CompiledGrammar] = OrderedDict()

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

    def compile_tool_calls(self, tool_use: ToolUse, markers: CallMarkers) -> CompiledGrammar | None:
        """Returns the grammar of an answer with calls; None where the model is free in how it calls.

        Calls are forced in mode "required"; in mode "auto" they must be right once they begin, if one
        of the functions is strict. Raises InvalidRequestError for parameters that must be enforced and
        cannot.
        """
        tools = [tool for tool in tool_use.tools if tool["function"]["name"] in tool_use.callable_names]
        is_forced = tool_use.mode == "required"
        is_strict = tool_use.mode == "auto" and any(tool["function"].get("strict") for tool in tools)
        if not is_forced and not is_strict:
            return None
        return self._calls(tool_use, markers, forced_calls if is_forced else free_calls)

    def prepare(self) -> None:
        """Builds the token trie: best at load, as all Python threads wait for it."""
        try:
            _ = self.vocabulary
        except GrammarError:
            return  # those who ask for a grammar will hear of it

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
            self._built_vocabulary = build_vocabulary(self.tokenizer)
        return self._built_vocabulary

    def _check(self, schema: Any) -> None:
        """Raises GrammarError for a rewritten schema that cannot be enforced."""
        self._from_source(json_source(schema))

    def _from_source(self, source: str) -> CompiledGrammar:
        grammar = self._cached.get(source)
        if grammar is None:
            if len(source) > MAX_SOURCE_CHARS:
                raise GrammarError("it is too large")
            grammar = self._cached[source] = CompiledGrammar(_prototype(self.vocabulary, source))
        self._cached.move_to_end(source)
        while len(self._cached) > self._max_cached:
            self._cached.popitem(last=False)
        return grammar


def _cannot_enforce(structure: Structure, error: ValueError) -> InvalidRequestError:
    param = structure.param
    if structure.kind == "json_schema" and param == "response_format":
        param = "response_format.json_schema.schema"
    return invalid_request(f"{KIND_NAMES[structure.kind]} for {structure.param}", error, param)


def _prototype(vocabulary: LLTokenizer, source: str) -> LLMatcher:
    """Returns a matcher at its start that was tried out. Raises GrammarError where it leads nowhere."""
    limits = LLParserLimits(
        step_lexer_fuel=_MAX_STEP_FUEL,
        step_max_items=_MAX_STEP_ITEMS,
        max_lexer_states=_MAX_LEXER_STATES,
        max_grammar_size=_MAX_GRAMMAR_SYMBOLS,
        verbose_errors=False,
    )
    matcher = LLMatcher(vocabulary, source, log_level=0, limits=limits)
    if not matcher.is_error():
        matcher.compute_bitmask()  # kept in the copies
    if matcher.is_stopped():
        raise grammar_error(matcher.get_error() or "NoExtension")
    _try_out(matcher.deep_copy(), vocabulary)
    return matcher


def _try_out(matcher: LLMatcher, vocabulary: LLTokenizer) -> None:
    """Follows the grammar for some tokens, as what is too complex shows only on the way.

    Raises GrammarError then, rather than to let an answer break off.
    """
    chance = random.Random(0)  # the same walk for the same grammar
    for _ in range(_NUM_TRIAL_TOKENS):
        mask = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
        if matcher.is_error():
            raise grammar_error(matcher.get_error())
        if matcher.is_stopped():
            return
        allowed = np.flatnonzero(np.unpackbits(mask, bitorder="little")[: vocabulary.vocab_size])
        if not allowed.size:
            raise GrammarError("it has a part that no text fits")
        matcher.consume_token(int(chance.choice(allowed)))
