"""Follows an answer through its thinking block, and closes the block when its budget is used up."""

from __future__ import annotations

from collections.abc import Sequence

from api.types import Thinking


class ThinkingProgress:
    """Fed with each answer token; where the block begins and ends is its tracker's decision, by text."""

    def __init__(self, thinking: Thinking) -> None:
        self.tracker = thinking.text.new_tracker()
        self._max_tokens = thinking.max_tokens
        self._num_inside = 0  # of all blocks: one that opens again has no new budget

    @property
    def is_inside(self) -> bool:
        return self.tracker.is_inside

    @property
    def is_opening(self) -> bool:
        """Whether, under a grammar, the next token may go on with the start marker."""
        return self.tracker.is_opening

    @property
    def opening_token_ids(self) -> Sequence[int]:
        return self.tracker.opening_token_ids if self.is_opening else ()

    @property
    def closing_token_ids(self) -> Sequence[int]:
        """The tokens that may come next where the end marker is due; none where it is not."""
        if not self.is_inside or self._max_tokens is None or self._num_inside < self._max_tokens:
            return ()
        return self.tracker.closing_token_ids

    def consume(self, token_id: int) -> None:
        """Takes an answer token."""
        self._num_inside += self.is_inside
        self.tracker.feed(token_id)
