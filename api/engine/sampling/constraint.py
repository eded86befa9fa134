"""What sequences may sample next by their grammars and thinking blocks, as masks over the vocabulary.

Masks are computed on the CPU, those of all rows at once, while the forward is in flight.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from llguidance import LLExecutor, LLMatcher
from llguidance.numpy import fill_next_token_bitmask, fill_next_token_bitmask_par
from numpy.typing import NDArray

from api.engine.sampling.thinking import ThinkingProgress
from api.errors import ServerSideError
from api.types import SamplingParams

Masks = NDArray[np.bool_]


class Constraint:
    """One sequence's grammar and thinking block; either may be missing.

    With a grammar the block comes first or not at all. Its start marker may be several tokens that begin
    as the grammar's own text does: until that is decided the matcher takes what it can.
    """

    def __init__(self, sampling: SamplingParams) -> None:
        self._grammar = sampling.grammar
        self.matcher: LLMatcher | None = sampling.grammar.new_matcher() if sampling.grammar else None
        self.thinking = ThinkingProgress(sampling.thinking) if sampling.thinking else None
        self.error: ServerSideError | None = None  # once set, the sequence can only fail
        self._is_refused = False  # the matcher did not take what the answer begins with
        self._closing_bans: dict[str, tuple[int, ...]] = {}  # by the text that may begin the end marker

    def consume(self, token_id: int) -> None:
        """Takes an answer token; sets ``error`` where the grammar refuses it."""
        if self.error:
            return
        token_ids: Sequence[int] = (token_id,)
        if self.thinking is not None:
            token_ids = self._think(self.thinking, token_id)
        if self.matcher is not None and not all(map(self.matcher.consume_token, token_ids)):
            self.fail(self.matcher.get_error())

    @property
    def closing_token_ids(self) -> Sequence[int]:
        """The only tokens that may come next where a thinking block's end is due; none where it is not."""
        found = self.thinking.closing_token_ids if self.thinking else ()
        return [token_id for token_id in found if token_id not in self.closing_bans]

    @property
    def opening_token_ids(self) -> Sequence[int]:
        """Tokens that may begin the thinking block, or go on to, although the grammar rules them out."""
        return self.thinking.opening_token_ids if self.thinking and self.matcher else ()

    @property
    def closing_bans(self) -> tuple[int, ...]:
        """Tokens that would end the thinking block with something behind it that the grammar refuses."""
        thinking, matcher = self.thinking, self.matcher
        if thinking is None or matcher is None or not thinking.is_inside:
            return ()
        open_text = thinking.tracker.open_text
        if open_text not in self._closing_bans:
            self._closing_bans[open_text] = _refused(matcher, thinking.tracker.completing())
        return self._closing_bans[open_text]

    @property
    def follows_grammar(self) -> bool:
        """Whether the grammar decides on the next token."""
        is_inside = self.thinking is not None and self.thinking.is_inside
        return self.matcher is not None and not is_inside and not self._is_refused

    @property
    def has_mask(self) -> bool:
        if self.error is not None:
            return False
        return self.follows_grammar or self._is_refused or self._is_held_in_thinking

    @property
    def bans_ends(self) -> bool:
        """An answer that must follow a grammar does not end while it is still being thought about."""
        return self.matcher is not None and not self.follows_grammar

    def fail(self, reason: str) -> None:
        first_line = reason.strip().split("\n", 1)[0][:200]
        self.error = ServerSideError(f"The answer's grammar could not be followed: {first_line}")

    @property
    def _is_held_in_thinking(self) -> bool:
        return bool(self.closing_token_ids or self.closing_bans)

    def _think(self, thinking: ThinkingProgress, token_id: int) -> Sequence[int]:
        """Returns what the grammar is to take."""
        was_inside = thinking.is_inside
        thinking.consume(token_id)
        if self._grammar is None or self.matcher is None:
            return ()
        if thinking.is_opening:
            self._is_refused = self._is_refused or not _takes(self.matcher, (token_id,))
            return () if self._is_refused else (token_id,)
        if thinking.is_inside:
            if not was_inside:  # what the matcher took is the marker's
                self.matcher, self._is_refused = self._grammar.new_matcher(), False
            return ()
        return self._begin_answer(thinking.tracker.rest_token_ids if was_inside else (token_id,))

    def _begin_answer(self, rest: Sequence[int] | None) -> Sequence[int]:
        """The grammar has all that follows; returns what it is to take of the last token."""
        self.thinking = None
        if self._is_refused or rest is None:
            self.fail("the answer begins with something else")
            return ()
        return rest


def _refused(matcher: LLMatcher, rests: Iterable[tuple[int, tuple[int, ...] | None]]) -> tuple[int, ...]:
    """The tokens whose rests the grammar does not begin with; a matcher knows its first mask already."""
    mask = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
    allowed = np.unpackbits(mask, bitorder="little")

    def takes(rest: tuple[int, ...]) -> bool:
        return not rest or (bool(allowed[rest[0]]) and (len(rest) == 1 or _takes(matcher, rest)))

    return tuple(token_id for token_id, rest in rests if rest is None or not takes(rest))


def _takes(matcher: LLMatcher, token_ids: Sequence[int]) -> bool:
    return matcher.validate_tokens(list(token_ids)) == len(token_ids)


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
        rows = [row for row, constraint in enumerate(constraints) if constraint.follows_grammar]
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
    if closing := _within(constraint.closing_token_ids, mask):
        mask[closing] = True
        return
    if constraint.closing_bans:
        mask[:] = True
        _ban(mask, (*constraint.closing_bans, *banned))
        return
    mask[_within(constraint.opening_token_ids, mask)] = True
    if constraint.follows_grammar:
        _check(mask, constraint)
    if constraint.error is None:
        _ban(mask, banned)


def _check(mask: NDArray[np.bool_], constraint: Constraint) -> None:
    """Sets ``error`` where the grammar failed, and allows all then."""
    assert constraint.matcher is not None
    if constraint.matcher.is_error():  # its mask allows the end only
        constraint.fail(constraint.matcher.get_error())
    elif not mask.any():
        constraint.fail("none of the model's tokens continues it")
    mask[:] |= constraint.error is not None


def _within(token_ids: Iterable[int], mask: NDArray[np.bool_]) -> list[int]:
    return [token_id for token_id in token_ids if 0 <= token_id < mask.size]


def _ban(mask: NDArray[np.bool_], token_ids: Sequence[int]) -> None:
    """A grammar that is complete allows ends only: then they stay."""
    inside = [token_id for token_id in _within(token_ids, mask) if mask[token_id]]
    mask[inside] = False
    if not mask.any():
        mask[inside] = True
