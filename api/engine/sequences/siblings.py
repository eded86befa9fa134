"""Choices of one request, whose prompt is prefilled once."""

from __future__ import annotations

from collections.abc import Iterable

from api.engine.sequences.sequence import Sequence


def find_sibling(sequence: Sequence, running: Iterable[Sequence], most_written: int) -> Sequence | None:
    """A running choice of the same prompt whose KV of it is whole, or will be; the one that is furthest.

    ``most_written``: tokens behind the prompt that it may have computed. A layer with a window keeps no more
    beyond it.
    """
    if sequence.is_suspect or sequence.is_scoring or sequence.num_prompt_tokens < 2:
        return None
    siblings = [s for s in running if s.is_sibling(sequence) and not s.is_suspect]
    siblings = [s for s in siblings if s.num_computed - s.num_prompt_tokens <= most_written]
    return max(siblings, key=lambda s: s.num_computed, default=None)
