from __future__ import annotations

import pytest

from api.engine.sequences.sequence import Sequence
from tests.engine.factories import SCORING, create_sequence


def test_a_new_sequence_has_its_prompt_to_read() -> None:
    sequence = create_sequence(num_prompt_tokens=5, max_tokens=2)
    assert (sequence.num_known, sequence.num_remaining, sequence.num_sampled) == (5, 5, 0)
    assert not sequence.is_decoding and not sequence.is_exhausted


def test_a_one_token_prompt_is_read_not_decoded() -> None:
    assert not create_sequence(num_prompt_tokens=1).is_decoding


def test_a_token_in_flight_is_known_and_counts_as_sampled() -> None:
    sequence = create_sequence(num_prompt_tokens=5, max_tokens=2)
    sequence.num_computed, sequence.num_in_flight = 5, 1
    assert (sequence.num_known, sequence.num_remaining, sequence.num_sampled) == (6, 1, 1)
    assert sequence.is_decoding and not sequence.is_exhausted
    sequence.token_ids.append(9)
    assert sequence.num_sampled == 2 and sequence.is_exhausted


def test_a_restart_keeps_the_tokens_that_were_read() -> None:
    sequence = create_sequence(num_prompt_tokens=5)
    sequence.token_ids += [7, 8]
    sequence.num_computed, sequence.num_in_flight = 7, 1
    sequence.restart()
    assert (sequence.num_remaining, sequence.num_sampled, sequence.slot) == (7, 2, None)


@pytest.mark.parametrize(("num_computed", "num_in_flight"), [(6, 0), (-1, 0), (3, 2)])
def test_check_finds_a_broken_invariant(num_computed: int, num_in_flight: int) -> None:
    sequence = create_sequence(num_prompt_tokens=5)
    sequence.num_computed, sequence.num_in_flight = num_computed, num_in_flight
    with pytest.raises(AssertionError):
        sequence.check()


def verifying(*proposals: int) -> Sequence:
    """Four tokens of an answer are known, and a step verifies what may follow."""
    sequence = create_sequence(num_prompt_tokens=5, max_tokens=20)
    sequence.token_ids += [1, 2, 3, 4]
    sequence.num_computed, sequence.num_in_flight, sequence.proposals = 9, 1, proposals
    return sequence


def test_proposals_are_not_known_before_they_came_true() -> None:
    sequence = verifying(7, 8)
    assert (sequence.num_known, sequence.num_sampled, sequence.num_remaining) == (10, 5, 1)
    sequence.check()


@pytest.mark.parametrize(
    ("sampled", "kept"), [([7, 8, 9], [7, 8, 9]), ([7, 5, 9], [7, 5]), ([6, 8, 9], [6]), ([6, 7, 8], [6])]
)
def test_samples_hold_up_to_the_first_that_was_not_proposed(sampled: list[int], kept: list[int]) -> None:
    sequence = verifying(7, 8)
    was_proposed = []
    for token in sampled:
        if sequence.num_in_flight:
            was_proposed.append(sequence.receive(token))
            sequence.check()
    assert sequence.token_ids[9:] == kept
    assert was_proposed == [True] * (len(kept) - 1) + [False]
    assert (sequence.num_computed, sequence.num_remaining) == (8 + len(kept), 1)
    assert (sequence.num_in_flight, sequence.proposals) == (0, ())


def test_a_token_that_is_read_while_the_next_one_is_in_flight_leaves_that_one_there() -> None:
    sequence = verifying()
    sequence.compute(1)
    sequence.num_in_flight += 1
    assert not sequence.receive(7)
    assert (sequence.num_in_flight, sequence.num_known, sequence.num_computed) == (1, 11, 10)


def test_a_restart_forgets_proposals() -> None:
    sequence = verifying(7, 8)
    sequence.restart()
    assert (sequence.proposals, sequence.num_remaining) == ((), 9)


def scoring(num_computed: int, num_scored: int) -> Sequence:
    sequence = create_sequence(num_prompt_tokens=10, sampling=SCORING)
    sequence.num_computed, sequence.num_scored = num_computed, num_scored
    return sequence


@pytest.mark.parametrize(
    ("num_computed", "num_scored", "num_rows", "positions"),
    [
        (0, 1, 4, range(1, 5)),
        (4, 1, 4, range(5, 9)),  # a step is under way
        (4, 5, 6, range(5, 10)),  # the prompt's last row scores nothing
        (9, 5, 1, range(0)),
        (0, 5, 3, range(0)),  # after a restart
        (0, 5, 7, range(5, 8)),
        (0, 10, 7, range(0)),  # all are read
    ],
)
def test_which_tokens_the_next_rows_score(
    num_computed: int, num_scored: int, num_rows: int, positions: range
) -> None:
    assert list(scoring(num_computed, num_scored).scored_positions(num_rows)) == list(positions)
    plain = create_sequence(num_prompt_tokens=10)
    assert not plain.is_scoring and len(plain.scored_positions(num_rows)) == 0


@pytest.mark.parametrize(
    ("num_computed", "num_scored", "num_rows", "most", "expected"),
    [
        (0, 1, 10, 4, 4),
        (0, 1, 10, 9, 10),
        (0, 5, 10, 2, 6),
        (0, 5, 3, 0, 3),
        (4, 1, 6, 0, 0),
        (9, 9, 1, 0, 1),
    ],
)
def test_rows_are_cut_to_those_that_may_score(
    num_computed: int, num_scored: int, num_rows: int, most: int, expected: int
) -> None:
    assert scoring(num_computed, num_scored).rows_within(num_rows, most) == expected
