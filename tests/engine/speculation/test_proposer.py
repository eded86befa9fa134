"""Several sources of proposals: who is asked, and for how much."""

from __future__ import annotations

from api.engine.sequences.sequence import Sequence
from api.engine.speculation.speculation import AdaptiveSpeculation, most_proposals
from tests.engine.speculation.test_speculation import create_speculation, decoding, propose


class Fixed:
    """Proposes one token again and again, always with the same chances."""

    def __init__(self, token_id: int, *gains: float, has_fewer: bool = False) -> None:
        self.token_id = token_id
        self.forgotten: list[int] = []
        self._gains = list(gains)
        self._has_fewer = has_fewer

    def follow(self, decoding: list[Sequence]) -> None: ...

    def gains(self, sequence: Sequence, num_tokens: int) -> list[float]:
        return self._gains[:num_tokens]

    def propose(self, wanted: list[tuple[Sequence, int]]) -> list[tuple[int, ...]]:
        return [(self.token_id,) * (1 if self._has_fewer else number) for _, number in wanted]

    def forget(self, sequence_id: int) -> None:
        self.forgotten.append(sequence_id)


def with_proposers(*proposers: Fixed) -> AdaptiveSpeculation:
    return AdaptiveSpeculation(create_speculation()._costs, proposers)


def test_each_sequence_gets_what_the_likeliest_source_has() -> None:
    sequence = decoding(5)
    propose(with_proposers(Fixed(7, 0.9, 0.5), Fixed(8, 0.9, 0.8, 0.7), Fixed(9)), sequence)
    assert sequence.proposals == (8, 8, 8)


def test_a_source_may_have_fewer_tokens_than_it_hoped_for() -> None:
    made, sequence = with_proposers(Fixed(7, 0.9, 0.9, has_fewer=True)), decoding(5)
    propose(made, sequence)
    assert sequence.proposals == (7,) and made.num_proposed_tokens == 1


def test_every_source_is_told_to_forget() -> None:
    sources = Fixed(7), Fixed(8)
    with_proposers(*sources).forget(3)
    assert [source.forgotten for source in sources] == [[3], [3]]


def test_a_step_has_no_more_proposals_than_memory_was_planned_for() -> None:
    """One sequence may have 64, of eight each 16 on average."""
    alone = decoding(5)
    propose(with_proposers(Fixed(7, *[0.99] * 100)), alone)
    assert len(alone.proposals) == most_proposals(1) == 64
    many = [decoding(5, sequence_id=i, max_tokens=300) for i in range(1, 9)]
    made = AdaptiveSpeculation(create_speculation(8)._costs, [Fixed(7, *[0.99] * 100)])
    propose(made, *many)
    assert made.num_proposed_tokens == most_proposals(8) == 128
