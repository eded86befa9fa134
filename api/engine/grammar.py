"""What sequences may sample next by their grammars and thinking blocks, as masks over the vocabulary.

Masks are computed on the CPU, those of all rows at once, while the forward is in flight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llguidance import LLExecutor, LLMatcher
from llguidance.numpy import fill_next_token_bitmask, fill_next_token_bitmask_par
from numpy.typing import NDArray

from api.engine.thinking import ThinkingProgress
from api.errors import ServerSideError
from api.types import SamplingParams

Masks = NDArray[np.bool_]


class Constraint:
    """One sequence's grammar and thinking block; either may be missing."""

    def __init__(self, sampling: SamplingParams) -> None:
        self.matcher: LLMatcher | None = sampling.grammar.new_matcher() if sampling.grammar else None
        self.thinking: ThinkingProgress | None = None
        if sampling.thinking:
            self.thinking = ThinkingProgress(sampling.thinking, opens_at_start_only=bool(sampling.grammar))
        self.error: ServerSideError | None = None  # once set, the sequence can only fail

    def consume(self, token_id: int) -> None:
        """Takes an answer token; sets ``error`` where the grammar refuses it."""
        if self.error or self._is_thought(token_id) or self.matcher is None:
            return
        if not self.matcher.consume_token(token_id):
            self.fail(self.matcher.get_error())

    @property
    def forced_token(self) -> int | None:
        """The one token that a thinking block's marker asks for."""
        return self.thinking.forced_token if self.thinking else None

    @property
    def follows_grammar(self) -> bool:
        """Whether the grammar decides on the next token."""
        is_thinking = self.thinking is not None and (self.thinking.is_inside or self.thinking.is_opening)
        return self.matcher is not None and not is_thinking

    @property
    def has_mask(self) -> bool:
        return self.error is None and (self.follows_grammar or self.forced_token is not None)

    @property
    def bans_ends(self) -> bool:
        """An answer that must follow a grammar does not end while it is still being thought about."""
        return self.matcher is not None and not self.follows_grammar

    def fail(self, reason: str) -> None:
        first_line = reason.strip().split("\n", 1)[0][:200]
        self.error = ServerSideError(f"The answer's grammar could not be followed: {first_line}")

    def _is_thought(self, token_id: int) -> bool:
        if self.thinking is None:
            return False
        can_open = self.thinking.may_open and not self._begins_grammar(token_id)
        return self.thinking.consume(token_id, can_open=can_open)

    def _begins_grammar(self, token_id: int) -> bool:
        """Whether a first token is the grammar's own, though a start marker of several could begin so."""
        is_ambiguous = self.thinking is not None and len(self.thinking.start_token_ids) > 1
        return is_ambiguous and self.matcher is not None and self.matcher.validate_tokens([token_id]) == 1


class MaskBuilder:
    """Fills the masks of a step; its threads start with the first step that has several grammars."""

    def __init__(self) -> None:
        self._executor: LLExecutor | None = None
        self._num_words = 0  # of the tokenizer's vocabulary: 32 tokens each

    def __call__(
        self, constraints: Sequence[Constraint], banned: Sequence[Sequence[int]], vocab_size: int
    ) -> Masks:
        """Returns ``[constraints, vocab_size]``: which token may come next.

        ``banned``: for each row, tokens that may not, unless nothing else may. What lies beyond the
        tokenizer's vocabulary may not either. Where the grammar fails, ``error`` is set and all is allowed.
        """
        masks = np.zeros((len(constraints), vocab_size), dtype=np.bool_)
        rows = [row for row, constraint in enumerate(constraints) if constraint.forced_token is None]
        masks[rows] = self._grammar_masks([constraints[row] for row in rows], vocab_size)
        for mask, constraint, token_ids in zip(masks, constraints, banned, strict=True):
            _finish(mask, constraint, token_ids)
        return masks

    def _grammar_masks(self, constraints: Sequence[Constraint], vocab_size: int) -> Masks:
        matchers = [constraint.matcher for constraint in constraints if constraint.matcher is not None]
        if not matchers:
            return np.zeros((0, vocab_size), dtype=np.bool_)
        self._num_words = self._num_words or _num_mask_words(matchers[0])
        words = np.zeros((len(matchers), self._num_words), dtype=np.int32)
        self._fill(words, matchers)
        bits = np.unpackbits(words.view(np.uint8), axis=1, count=vocab_size, bitorder="little")
        return bits.view(np.bool_)

    def _fill(self, words: NDArray[np.int32], matchers: list[LLMatcher]) -> None:
        if len(matchers) == 1:
            fill_next_token_bitmask(matchers[0], words)
            return
        self._executor = self._executor or LLExecutor()
        fill_next_token_bitmask_par(self._executor, [(m, row) for row, m in enumerate(matchers)], words)


def _num_mask_words(matcher: LLMatcher) -> int:
    """What ``_fill`` needs for each row; a matcher does not tell, and refuses every other length."""
    num_words = len(matcher.compute_bitmask()) // 4  # one too many where the vocabulary fills its words
    try:
        fill_next_token_bitmask(matcher, np.zeros((1, num_words), dtype=np.int32))
    except ValueError:
        return num_words - 1
    return num_words


def _finish(mask: NDArray[np.bool_], constraint: Constraint, banned: Sequence[int]) -> None:
    """Adds what the thinking block asks for and takes away ``banned``, in place."""
    if constraint.forced_token is not None:
        mask[constraint.forced_token] = True
        return
    assert constraint.matcher is not None
    if constraint.matcher.is_error():  # its mask allows the end only
        constraint.fail(constraint.matcher.get_error())
    elif not mask.any():
        constraint.fail("none of the model's tokens continues it")
    if constraint.error is not None:
        mask[:] = True
        return
    if constraint.thinking is not None and constraint.thinking.may_open:
        mask[constraint.thinking.start_token_ids[0]] = True
    _ban(mask, banned)


def _ban(mask: NDArray[np.bool_], token_ids: Sequence[int]) -> None:
    """A grammar that is complete allows ends only: then they stay."""
    inside = [token_id for token_id in token_ids if 0 <= token_id < mask.size and mask[token_id]]
    mask[inside] = False
    if not mask.any():
        mask[inside] = True
