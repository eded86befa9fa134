from __future__ import annotations

import pytest

from tests.engine.factories import create_sequence


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
