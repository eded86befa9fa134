"""Proposals from each sequence's own text: what followed the last time that it went like this."""

from __future__ import annotations

from dataclasses import dataclass, field

from api.engine.sequences.chances import Chances
from api.engine.sequences.sequence import Sequence
from api.engine.speculation.prompt_lookup import PromptLookup

_INDEXED_PER_STEP = 4096  # prompt tokens, of all sequences together: one or two milliseconds


@dataclass(slots=True)
class _Text:
    """What is known of the repeats in one sequence's tokens."""

    lookup: PromptLookup
    chances: Chances = field(default_factory=Chances)

    def follow(self, num_prompt_tokens: int, most_indexed: int) -> int:
        """Takes in what is new, and learns from what was predicted. Returns how many were only indexed."""
        lookup = self.lookup
        num_indexed = min(num_prompt_tokens - lookup.num_taken, most_indexed)
        if num_indexed > 0:
            lookup.take_many(num_indexed)
        while lookup.num_new and lookup.num_taken >= num_prompt_tokens:
            match_length = lookup.match_length
            is_right = lookup.take()
            if match_length:
                self.chances.record(match_length, is_right)
        return max(0, num_indexed)


class Repeats:
    """A ``Proposer`` by prompt lookup."""

    def __init__(self) -> None:
        self._texts: dict[int, _Text] = {}  # by sequence id

    def follow(self, decoding: list[Sequence]) -> None:
        room = _INDEXED_PER_STEP
        for sequence in decoding:
            text = self._texts.get(sequence.sequence_id)
            if text is None:
                text = self._texts[sequence.sequence_id] = _Text(PromptLookup(sequence.token_ids))
            room -= text.follow(sequence.num_prompt_tokens, room)

    def gains(self, sequence: Sequence, num_tokens: int) -> list[float]:
        text = self._texts.get(sequence.sequence_id)
        if text is None or text.lookup.num_new:
            return []
        is_behind = bool(sequence.num_in_flight)
        return text.chances.gains(text.lookup.match_length, num_tokens, is_behind=is_behind)

    def propose(self, wanted: list[tuple[Sequence, int]]) -> list[tuple[int, ...]]:
        return [self._texts[sequence.sequence_id].lookup.predict(number) for sequence, number in wanted]

    def forget(self, sequence_id: int) -> None:
        self._texts.pop(sequence_id, None)
