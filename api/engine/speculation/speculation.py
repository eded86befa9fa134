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

from api.engine.sequences.sequence import Sequence
from api.engine.speculation.proposer import Proposer
from api.engine.speculation.verification_costs import StepKind, VerificationCosts
from api.step_plan import Draft

_MOST_PROPOSALS = 64  # of one sequence in a step; of several 16 each at most, on average
_MOST_ON_AVERAGE = 16
# Of sequences that draw their tokens, together: such rows take several times the memory of greedy ones.
MOST_SAMPLED_PROPOSALS = 32
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

    @property
    def num_proposed_tokens(self) -> int:
        """Since the start."""

    @property
    def num_accepted_tokens(self) -> int:
        """Of these, those that came true."""

    @property
    def num_drafted_tokens(self) -> int:
        """Of the proposed ones, those by a draft model."""

    @property
    def num_accepted_drafts(self) -> int:
        """Of these, those that came true."""

    def reads_first(self, decoding: list[Sequence]) -> bool:
        """Whether to plan nothing, so that the step under way is read before the next one is planned."""

    def propose(self, decoding: list[Sequence]) -> None:
        """Sets the ``proposals`` of those for whom it pays; of none while a token is in flight."""

    def take_drafts(self) -> tuple[Draft, ...]:
        """What a draft model does in the plan that is made now, for which ``propose`` was called last."""

    def observe(self, kind: StepKind, seconds: float, is_overlapped: bool = True) -> None:
        """Takes the time of a step without prompt rows; see ``VerificationCosts.observe``."""

    def accept(self, sequence_id: int) -> None:
        """Counts a proposal that came true."""

    def forget(self, sequence_id: int) -> None:
        """Drops what is known of a sequence; unknown ones are ignored."""


class NoSpeculation:
    """Plain decoding."""

    num_proposed_tokens = 0
    num_accepted_tokens = 0
    num_drafted_tokens = 0
    num_accepted_drafts = 0

    def reads_first(self, decoding: list[Sequence]) -> bool:
        return False

    def propose(self, decoding: list[Sequence]) -> None: ...

    def take_drafts(self) -> tuple[Draft, ...]:
        return ()

    def observe(self, kind: StepKind, seconds: float, is_overlapped: bool = True) -> None: ...

    def accept(self, sequence_id: int) -> None: ...

    def forget(self, sequence_id: int) -> None: ...


@dataclass(frozen=True, slots=True)
class _Offer:
    """What the likeliest source has for a sequence."""

    proposer: Proposer
    gains: list[float]
    is_sampled: bool  # the sequence draws its tokens


@dataclass(frozen=True, slots=True)
class _Choice:
    numbers: Counter[int]  # of proposals, by sequence id
    advantage: float  # the least where there are none


class AdaptiveSpeculation:
    """``Speculation`` on what the proposers offer, the likeliest for each sequence, as far as it pays."""

    num_drafted_tokens = 0
    num_accepted_drafts = 0

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
        return bool(self._choose(self._offers(free), len(decoding)).numbers)

    def advantage(self, decoding: list[Sequence]) -> float:
        """In expected tokens for each second over plain decoding, of what it would propose; 0 for nothing."""
        choice = self._choose(self._offers(_free(decoding)), len(decoding))
        return choice.advantage if choice.numbers else 0.0

    def propose(self, decoding: list[Sequence]) -> None:
        if any(sequence.num_in_flight for sequence in decoding):
            return
        free = _free(decoding)
        offers = self._offers(free)
        chosen = self._choose(offers, len(decoding)).numbers
        for proposer in self._proposers:
            wanted = [(s, n) for s in free if (n := chosen[s.sequence_id])]
            wanted = [(s, n) for s, n in wanted if offers[s.sequence_id].proposer is proposer]
            self._take(wanted, proposer.propose(wanted) if wanted else [])

    def gains(self, sequence: Sequence, num_tokens: int) -> list[float]:
        """The likeliest source's; see ``Proposer``."""
        return self._offer(sequence, num_tokens).gains

    def propose_for(self, sequence: Sequence, num_tokens: int) -> None:
        """Proposes so many tokens for one sequence, whatever is done for the others."""
        wanted = [(sequence, num_tokens)]
        self._take(wanted, self._offer(sequence, num_tokens).proposer.propose(wanted))

    def take_drafts(self) -> tuple[Draft, ...]:
        return ()

    def observe(self, kind: StepKind, seconds: float, is_overlapped: bool = True) -> None:
        self._costs.observe(kind, seconds, is_overlapped)

    def accept(self, sequence_id: int) -> None:
        self.num_accepted_tokens += 1

    def forget(self, sequence_id: int) -> None:
        for proposer in self._proposers:
            proposer.forget(sequence_id)

    def _take(self, wanted: list[tuple[Sequence, int]], proposed: list[tuple[int, ...]]) -> None:
        for (sequence, _), proposals in zip(wanted, proposed, strict=True):
            sequence.propose(proposals)
            self.num_proposed_tokens += len(proposals)

    def _offers(self, free: list[Sequence]) -> dict[int, _Offer]:
        """The offer with the most expected tokens for each sequence, by its id."""
        return {s.sequence_id: self._offer(s, min(room_for_proposals(s), _MOST_PROPOSALS)) for s in free}

    def _offer(self, sequence: Sequence, num_tokens: int) -> _Offer:
        is_sampled = not sequence.sampling.is_greedy
        num_tokens = min(num_tokens, MOST_SAMPLED_PROPOSALS) if is_sampled else num_tokens
        found = [_Offer(each, each.gains(sequence, num_tokens), is_sampled) for each in self._proposers]
        return max(found, key=lambda offer: sum(offer.gains))

    def _choose(self, offers: dict[int, _Offer], num_decoding: int) -> _Choice:
        """How many proposals each sequence should have: those likeliest to come true.

        Their number is the one with the most expected tokens for each second.
        """
        gains = _likeliest(offers)
        best: list[int] = []
        best_advantage = _LEAST_ADVANTAGE
        for size in self._costs.sizes(num_decoding, min(len(gains), most_proposals(num_decoding))):
            advantage = self._advantage(gains[:size], num_decoding)
            if advantage > best_advantage:
                best, best_advantage = [sequence_id for _, sequence_id in gains[:size]], advantage
        return _Choice(Counter(best), best_advantage)

    def _advantage(self, gains: list[tuple[float, int]], num_decoding: int) -> float:
        """Expected tokens for each second, in those of plain decoding; 0 where others would pay for it."""
        num_verifying = len({sequence_id for _, sequence_id in gains})
        slowdown = self._costs.slowdown(StepKind(num_decoding, num_verifying, len(gains)))
        if slowdown is None or (num_verifying < num_decoding and slowdown > _MOST_SLOWDOWN):
            return 0.0
        return (1 + sum(gain for gain, _ in gains) / num_decoding) / slowdown


def _likeliest(offers: dict[int, _Offer]) -> list[tuple[float, int]]:
    """All gains with their sequence's id, falling, as many of them as memory is planned for."""
    all_gains = [(gain, sequence_id) for sequence_id, offer in offers.items() for gain in offer.gains]
    all_gains.sort(reverse=True)
    room, gains = MOST_SAMPLED_PROPOSALS, []
    for gain, sequence_id in all_gains:
        if offers[sequence_id].is_sampled:
            if not room:
                continue
            room -= 1
        gains.append((gain, sequence_id))
    return gains


def _free(decoding: list[Sequence]) -> list[Sequence]:
    """Those that can have proposals: in others the ones before a row would have a say in its sample."""
    return [sequence for sequence in decoding if not sequence.sampling.needs_state]
