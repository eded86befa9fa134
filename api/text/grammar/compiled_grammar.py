"""llguidance's matcher of a grammar at its start, and a walk through the grammar that tries it out."""

from __future__ import annotations

import random

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from api.text.grammar.errors import GrammarError, grammar_error

# What a matcher may do for one token: about 15 ms and 50 MB at worst, then that one request fails.
_MAX_STEP_FUEL = 200_000
_MAX_STEP_ITEMS = 50_000
_MAX_LEXER_STATES = 50_000
_MAX_GRAMMAR_SYMBOLS = 200_000
_NUM_TRIAL_TOKENS = 40


class CompiledGrammar:
    """A matcher at the start, copied for each sequence; the copies share nothing that changes."""

    def __init__(self, prototype: LLMatcher, source: str) -> None:
        self._prototype = prototype
        self.source = source  # llguidance's own form of the grammar

    def new_matcher(self) -> LLMatcher:
        return self._prototype.deep_copy()


def build_grammar(vocabulary: LLTokenizer, source: str) -> CompiledGrammar:
    """Compiles; other Python threads run meanwhile. Raises GrammarError.

    The library recurses on its native stack, and overflows it, without a word, where a grammar goes deeper
    than the thread's stack: sources that nobody tried belong into a process of their own.
    """
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
    return CompiledGrammar(matcher, source)


def try_out(matcher: LLMatcher, vocabulary: LLTokenizer) -> None:
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
