"""Follows an answer through its thinking block, and closes the block when its budget is used up."""

from __future__ import annotations

from api.types import Thinking


class ThinkingProgress:
    """Fed with each answer token. Tokens inside of a block and its markers belong to the block."""

    def __init__(self, thinking: Thinking, *, opens_at_start_only: bool) -> None:
        """``opens_at_start_only``: a block must open with the answer's first token or not at all."""
        self._thinking = thinking
        self._opens_at_start_only = opens_at_start_only
        self._num_tokens = 0
        self._num_inside = 0  # of all blocks: one that opens again has no new budget
        self._tail: tuple[int, ...] = ()  # the last tokens, as many as the awaited marker has at most
        self.is_inside = thinking.is_open
        self.is_opening = False  # a start marker of several tokens is begun and has to be completed

    @property
    def may_open(self) -> bool:
        """Whether the next token may begin a block although a grammar rules it out."""
        can_start = bool(self._thinking.start_token_ids) and not self._thinking.is_open
        return self._opens_at_start_only and can_start and self._num_tokens == 0

    @property
    def start_token_ids(self) -> tuple[int, ...]:
        return self._thinking.start_token_ids

    @property
    def forced_token(self) -> int | None:
        """The only token that may come next: of a marker that is begun or due."""
        if self.is_opening:
            return self._thinking.start_token_ids[len(self._tail)]
        budget, end = self._thinking.max_tokens, self._thinking.end_token_ids
        if not self.is_inside or budget is None or self._num_inside < budget:
            return None
        return end[_num_begun(self._tail, end)]

    def consume(self, token_id: int, *, can_open: bool = True) -> bool:
        """Takes an answer token; returns whether it belongs to a block. ``can_open``: it may begin one."""
        may_open = can_open and self.may_open
        self._num_tokens += 1
        if self.is_inside:
            self._num_inside += 1
            self._await(self._thinking.end_token_ids, token_id, is_inside_then=False)
            return True
        if self._opens_at_start_only:
            return self._open_at_start(token_id, may_open)
        return self._await(self._thinking.start_token_ids, token_id, is_inside_then=True)

    def _open_at_start(self, token_id: int, may_open: bool) -> bool:
        self.is_opening = self.is_opening or (may_open and token_id == self.start_token_ids[0])
        if not self.is_opening:
            return False
        if self._await(self._thinking.start_token_ids, token_id, is_inside_then=True):
            self.is_opening = False
        return True

    def _await(self, marker: tuple[int, ...], token_id: int, *, is_inside_then: bool) -> bool:
        """Returns whether ``token_id`` completes ``marker``."""
        if not marker:
            return False
        self._tail = (*self._tail, token_id)[-len(marker) :]
        if self._tail != marker:
            return False
        self._tail = ()
        self.is_inside = is_inside_then
        return True


def _num_begun(tail: tuple[int, ...], marker: tuple[int, ...]) -> int:
    """How many of the marker's tokens the tail ends with."""
    lengths = range(min(len(tail), len(marker) - 1), 0, -1)
    return next((n for n in lengths if tail[-n:] == marker[:n]), 0)
