"""Decides who verifies proposals in the next step, and how many: where it pays by what was measured.

A sequence's proposals are rows behind its last known token. Their samples are those of plain decoding as
long as each proposal is the token that the row before it samples, so the longest such beginning is kept.

A proposal needs the newest token on the host, and a step with proposals leaves open where its sequences
stand. So such a step begins only when all that was dispatched is read, and nothing is planned beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Protocol

from api.engine.proposer import Proposer
from api.engine.sampling_state import needs_state
from api.engine.sequence import Sequence
from api.engine.verification_costs import StepKind, VerificationCosts

_MOST_PROPOSALS = 64  # of one sequence in a step; of several 16 each at most, on average
_MOST_ON_AVERAGE = 16
_LEAST_ADVANTAGE = 1.1  # in expected tokens for each second, over plain decoding
_MOST_SLOWDOWN = 1.5  # of a step in which somebody has no proposals to gain from


def most_proposals(num_sequences: int) -> int:
    """How many a step may verify for so many sequences: each takes memory by the vocabulary."""
    return max(_MOST_PROPOSALS, _MOST_ON_AVERAGE * num_sequences)


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


@dataclass(frozen=True, slots=True)
class _Offer:
    """What the likeliest source has for a sequence."""

    proposer: Proposer
    gains: list[float]


class AdaptiveSpeculation:
    """``Speculation`` on what the proposers offer, the likeliest for each sequence, as far as it pays."""

    def __init__(self, costs: VerificationCosts, proposers: Items[Proposer]) -> None:
        self.num_proposed_tokens = 0
        self.num_accepted_tokens = 0
        self._costs = costs
        self._proposers = tuple(proposers)

    def reads_first(self, decoding: list[Sequence]) -> bool:
        if any(sequence.proposals for sequence in decoding):
            return True
        free = _free(decoding)
        for proposer in self._proposers:
            proposer.follow(free)
        if not any(sequence.num_in_flight for sequence in decoding):
            return False
        return bool(self._choose(self._offers(free), len(decoding)))

    def propose(self, decoding: list[Sequence]) -> None:
        if any(sequence.num_in_flight for sequence in decoding):
            return
        free = _free(decoding)
        offers = self._offers(free)
        chosen = self._choose(offers, len(decoding))
        for proposer in self._proposers:
            wanted = [(s, n) for s in free if (n := chosen[s.sequence_id])]
            wanted = [(s, n) for s, n in wanted if offers[s.sequence_id].proposer is proposer]
            self._take(wanted, proposer.propose(wanted) if wanted else [])

    def observe(self, kind: StepKind, seconds: float) -> None:
        self._costs.observe(kind, seconds)

    def accept(self) -> None:
        self.num_accepted_tokens += 1

    def forget(self, sequence_id: int) -> None:
        for proposer in self._proposers:
            proposer.forget(sequence_id)

    def _take(self, wanted: list[tuple[Sequence, int]], proposed: list[tuple[int, ...]]) -> None:
        for (sequence, _), proposals in zip(wanted, proposed, strict=True):
            sequence.proposals = proposals
            self.num_proposed_tokens += len(proposals)

    def _offers(self, free: list[Sequence]) -> dict[int, _Offer]:
        """The offer with the most expected tokens for each sequence, by its id."""
        offers: dict[int, _Offer] = {}
        for sequence in free:
            room = min(room_for_proposals(sequence), _MOST_PROPOSALS)
            found = [_Offer(proposer, proposer.gains(sequence, room)) for proposer in self._proposers]
            offers[sequence.sequence_id] = max(found, key=lambda offer: sum(offer.gains))
        return offers

    def _choose(self, offers: dict[int, _Offer], num_decoding: int) -> Counter[int]:
        """How many proposals each sequence should have, by its id: those likeliest to come true.

        Their number is the one with the most expected tokens for each second.
        """
        gains = [(gain, sequence_id) for sequence_id, offer in offers.items() for gain in offer.gains]
        gains.sort(reverse=True)
        best: list[int] = []
        best_advantage = _LEAST_ADVANTAGE
        for size in self._costs.sizes(num_decoding, min(len(gains), most_proposals(num_decoding))):
            advantage = self._advantage(gains[:size], num_decoding)
            if advantage > best_advantage:
                best, best_advantage = [sequence_id for _, sequence_id in gains[:size]], advantage
        return Counter(best)

    def _advantage(self, gains: list[tuple[float, int]], num_decoding: int) -> float:
        """Expected tokens for each second, in those of plain decoding; 0 where others would pay for it."""
        num_verifying = len({sequence_id for _, sequence_id in gains})
        slowdown = self._costs.slowdown(StepKind(num_decoding, num_verifying, len(gains)))
        if slowdown is None or (num_verifying < num_decoding and slowdown > _MOST_SLOWDOWN):
            return 0.0
        return (1 + sum(gain for gain, _ in gains) / num_decoding) / slowdown


def _free(decoding: list[Sequence]) -> list[Sequence]:
    """Those that can have proposals: in others the ones before a row would have a say in its sample."""
    return [sequence for sequence in decoding if not needs_state(sequence.sampling)]
