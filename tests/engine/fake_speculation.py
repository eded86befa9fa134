"""Speculation that knows the answers, or not: proposals are right up to a place drawn at random."""

from __future__ import annotations

import random
from collections.abc import Callable
from collections.abc import Sequence as Items

from api.engine.sequences.sequence import Sequence
from api.engine.speculation.speculation import NoSpeculation, room_for_proposals

# From a sequence to the tokens that follow those it knows.
Oracle = Callable[[Sequence], Items[int]]


class OracleSpeculation(NoSpeculation):
    """Proposes and waits at random, whether or not it would pay."""

    def __init__(self, oracle: Oracle, vocab_size: int, seed: int = 0, most: int = 6) -> None:
        self.num_proposed_tokens = 0
        self.num_accepted_tokens = 0
        self.forgotten: list[int] = []
        self._oracle = oracle
        self._vocab_size = vocab_size
        self._draw = random.Random(seed)
        self._most = most

    def reads_first(self, decoding: list[Sequence]) -> bool:
        if any(sequence.proposals for sequence in decoding):
            return True
        is_behind = any(sequence.num_in_flight for sequence in decoding)
        return is_behind and self._draw.random() < 0.7

    def propose(self, decoding: list[Sequence]) -> None:
        if any(sequence.num_in_flight for sequence in decoding):
            return
        for sequence in decoding:
            room = min(room_for_proposals(sequence), self._draw.randint(0, self._most))
            sequence.propose(self._spoilt(self._oracle(sequence)[:room]))
            self.num_proposed_tokens += len(sequence.proposals)

    def accept(self, sequence_id: int) -> None:
        self.num_accepted_tokens += 1

    def forget(self, sequence_id: int) -> None:
        self.forgotten.append(sequence_id)

    def _spoilt(self, tokens: Items[int]) -> tuple[int, ...]:
        wrong = self._draw.randint(0, self._most)
        shift = self._draw.randrange(1, self._vocab_size)
        return tuple((t + shift) % self._vocab_size if i == wrong else t for i, t in enumerate(tokens))
