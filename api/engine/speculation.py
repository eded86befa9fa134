"""Decides who verifies proposals in the next step, and how many: where it pays by what was measured.

A sequence's proposals are rows behind its last known token. Their samples are those of plain decoding as
long as each proposal is the token that the row before it samples, so the longest such beginning is kept.

A proposal needs the newest token on the host, and a step with proposals leaves open where its sequences
stand. So such a step begins only when all that was dispatched is read, and nothing is planned beside it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from api.engine.prompt_lookup import Chances, PromptLookup
from api.engine.sampling_state import needs_state
from api.engine.sequence import Sequence
from api.engine.verification_costs import StepKind, VerificationCosts

MOST_PROPOSALS = 16  # of one sequence in a step
_LEAST_CHANCE = 0.25  # of a sequence's first proposal
_LEAST_ADVANTAGE = 1.1  # in expected tokens for each second, over plain decoding
_MOST_SLOWDOWN = 1.5  # of a step in which somebody has no proposals to gain from
_INDEXED_PER_STEP = 4096  # prompt tokens, of all sequences together: one or two milliseconds


def room_for_proposals(sequence: Sequence) -> int:
    """How many a sequence may have: at least one more token follows those, and their KV needs a place."""
    assert sequence.slot is not None
    num_tokens_left = sequence.max_tokens - sequence.num_sampled
    return max(0, min(num_tokens_left - 1, sequence.slot.capacity - sequence.num_known))


class Speculation(Protocol):
    """What the scheduler asks. ``decoding``: the sequences that would each get a row in the next step."""

    num_proposed_tokens: int  # since the start
    num_accepted_tokens: int

    def reads_first(self, decoding: list[Sequence]) -> bool:
        """Whether to plan nothing, so that the step under way is read before the next one is planned."""

    def propose(self, decoding: list[Sequence]) -> None:
        """Sets the ``proposals`` of those for whom it pays; of none while a token is in flight."""

    def observe(self, kind: StepKind, seconds: float) -> None:
        """Takes the time of a step without prompt rows."""

    def accept(self) -> None:
        """Counts a proposal that came true."""

    def forget(self, sequence_id: int) -> None:
        """Drops what is known of a sequence; unknown ones are ignored."""


class NoSpeculation:
    """Plain decoding."""

    num_proposed_tokens = 0
    num_accepted_tokens = 0

    def reads_first(self, decoding: list[Sequence]) -> bool:
        return False

    def propose(self, decoding: list[Sequence]) -> None: ...

    def observe(self, kind: StepKind, seconds: float) -> None: ...

    def accept(self) -> None: ...

    def forget(self, sequence_id: int) -> None: ...


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

    def gains(self, num_tokens: int, is_behind: bool) -> list[float]:
        """For each of the next proposals the chance that it and all before it come true.

        ``is_behind``: a token is in flight, so the first prediction is for that one.
        """
        length = 0 if self.lookup.num_new else self.lookup.match_length
        if not length or self.chances.of(length) < _LEAST_CHANCE:
            return []
        if is_behind:
            return self.chances.gains(length + 1, num_tokens, self.chances.of(length))
        return self.chances.gains(length, num_tokens)


class PromptLookupSpeculation:
    """``Speculation`` by what each sequence's own text predicts."""

    def __init__(self, costs: VerificationCosts) -> None:
        self.num_proposed_tokens = 0
        self.num_accepted_tokens = 0
        self._costs = costs
        self._texts: dict[int, _Text] = {}  # by sequence id

    def reads_first(self, decoding: list[Sequence]) -> bool:
        if any(sequence.proposals for sequence in decoding):
            return True
        self._follow(decoding)
        return any(sequence.num_in_flight for sequence in decoding) and bool(self._choose(decoding))

    def propose(self, decoding: list[Sequence]) -> None:
        if any(sequence.num_in_flight for sequence in decoding):
            return
        chosen = self._choose(decoding)
        for sequence in decoding:
            if num_tokens := chosen[sequence.sequence_id]:
                sequence.proposals = self._texts[sequence.sequence_id].lookup.predict(num_tokens)
                self.num_proposed_tokens += num_tokens

    def observe(self, kind: StepKind, seconds: float) -> None:
        self._costs.observe(kind, seconds)

    def accept(self) -> None:
        self.num_accepted_tokens += 1

    def forget(self, sequence_id: int) -> None:
        self._texts.pop(sequence_id, None)

    def _follow(self, decoding: list[Sequence]) -> None:
        room = _INDEXED_PER_STEP
        for sequence in decoding:
            if needs_state(sequence.sampling):
                continue  # the proposals before a row would have a say in its sample
            text = self._texts.get(sequence.sequence_id)
            if text is None:
                text = self._texts[sequence.sequence_id] = _Text(PromptLookup(sequence.token_ids))
            room -= text.follow(sequence.num_prompt_tokens, room)

    def _choose(self, decoding: list[Sequence]) -> Counter[int]:
        """How many proposals each sequence should have, by its id: those likeliest to come true.

        Their number is the one with the most expected tokens for each second.
        """
        gains = [(gain, s.sequence_id) for s in decoding for gain in self._gains(s)]
        gains.sort(reverse=True)
        best: list[int] = []
        best_advantage = _LEAST_ADVANTAGE
        for size in self._costs.sizes(len(decoding), len(gains)):
            advantage = self._advantage(gains[:size], len(decoding))
            if advantage > best_advantage:
                best, best_advantage = [sequence_id for _, sequence_id in gains[:size]], advantage
        return Counter(best)

    def _gains(self, sequence: Sequence) -> list[float]:
        text = self._texts.get(sequence.sequence_id)
        if text is None:
            return []
        return text.gains(min(room_for_proposals(sequence), MOST_PROPOSALS), bool(sequence.num_in_flight))

    def _advantage(self, gains: list[tuple[float, int]], num_decoding: int) -> float:
        """Expected tokens for each second, in those of plain decoding; 0 where others would pay for it."""
        num_verifying = len({sequence_id for _, sequence_id in gains})
        slowdown = self._costs.slowdown(StepKind(num_decoding, num_verifying, len(gains)))
        if slowdown is None or (num_verifying < num_decoding and slowdown > _MOST_SLOWDOWN):
            return 0.0
        return (1 + sum(gain for gain, _ in gains) / num_decoding) / slowdown
