from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from api.engine.sequences.sequence import Sequence
from api.step_plan import DRAFTED, Slot
from tests.engine.factories import SCORING, create_sequence
from tests.engine.written_fields import written_fields, written_in_engine


def test_a_new_sequence_has_its_prompt_to_prefill() -> None:
    sequence = create_sequence(num_prompt_tokens=5, max_tokens=2)
    assert (sequence.num_known, sequence.num_remaining, sequence.num_sampled) == (5, 5, 0)
    assert not sequence.is_decoding and not sequence.is_exhausted


def test_a_one_token_prompt_is_prefilled_not_decoded() -> None:
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
    sequence.dispatch(1)
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
        (0, 10, 7, range(0)),  # all were scored
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


# --- the verbs, and what each of them asserts -----------------------------------------------------


def admitted(num_copied: int = 0, num_prompt_tokens: int = 5, capacity: int = 64) -> Sequence:
    sequence = create_sequence(num_prompt_tokens=num_prompt_tokens, max_tokens=20)
    sequence.place(Slot(capacity, 0))
    sequence.admit(num_copied, num_copied, now_seconds=3.0)
    return sequence


def decoding() -> Sequence:
    """Its prompt and one answer token are known, and nothing is in flight."""
    sequence = admitted()
    sequence.dispatch(5)
    assert not sequence.receive(7)
    return sequence


def test_who_is_admitted_begins_behind_what_was_copied() -> None:
    sequence = admitted(num_copied=4)
    assert (sequence.num_computed, sequence.num_copied, sequence.num_cached_tokens) == (4, 4, 4)
    assert (sequence.was_admitted, sequence.admitted_seconds) == (True, 3.0)


def test_only_the_first_admission_says_what_was_cached() -> None:
    sequence = admitted(num_copied=1)
    sequence.restart()
    sequence.place(Slot(64, 1))
    sequence.admit(4, 4, now_seconds=9.0)
    assert (sequence.num_computed, sequence.num_cached_tokens, sequence.admitted_seconds) == (4, 1, 9.0)


def test_an_admission_that_came_to_nothing_was_none() -> None:
    sequence = admitted(num_copied=4)
    sequence.withdraw()
    assert (sequence.was_admitted, sequence.num_cached_tokens) == (False, 0)


def test_a_step_counts_its_rows_and_samples_where_it_reaches_the_end() -> None:
    sequence = admitted()
    sequence.dispatch(3)
    assert (sequence.num_computed, sequence.num_in_flight) == (3, 0)
    sequence.dispatch(2)
    assert (sequence.num_computed, sequence.num_in_flight, sequence.is_decoding) == (5, 1, True)
    sequence.dispatch(1)  # beside the step before, whose token is not read yet
    assert (sequence.num_computed, sequence.num_in_flight) == (6, 2)
    assert not sequence.receive(7)
    sequence.check()
    assert (sequence.token_ids[5:], sequence.num_in_flight) == ([7], 1)


def test_of_proposals_only_the_row_before_them_counts_at_once() -> None:
    sequence = decoding()
    sequence.propose((8, 9))
    sequence.dispatch(3)
    assert (sequence.num_computed, sequence.num_in_flight) == (6, 1)
    assert sequence.receive(8) and not sequence.receive(1)
    assert (sequence.token_ids[5:], sequence.num_computed) == ([7, 8, 1], 7)
    sequence.check()


def test_drafts_get_their_names_from_the_step_that_made_them() -> None:
    sequence = decoding()
    sequence.propose((DRAFTED, DRAFTED))
    sequence.dispatch(3)
    sequence.name_drafts((8, 9))
    assert sequence.proposals == (8, 9)


def test_scores_of_a_prompt_come_to_its_end() -> None:
    sequence = scoring(num_computed=10, num_scored=1)
    sequence.score(4)
    assert sequence.is_scoring and sequence.num_scored == 5
    sequence.score(5)
    assert not sequence.is_scoring


def test_a_suspect_is_absolved() -> None:
    sequence = admitted()
    sequence.suspect()
    assert sequence.is_suspect
    sequence.absolve()
    assert not sequence.is_suspect


@pytest.mark.parametrize(
    ("sequence", "verb"),
    [
        (admitted(4), lambda s: s.place(Slot(3, 0))),  # shorter than what it has computed
        (create_sequence(), lambda s: s.admit(0, 0, 0.0)),  # without a slot
        (admitted(), lambda s: s.admit(5, 0, 0.0)),  # nothing left whose logits are the next token
        (admitted(), lambda s: s.admit(-1, 0, 0.0)),
        (create_sequence(), lambda s: s.withdraw()),  # never admitted
        (admitted(), lambda s: s.dispatch(0)),
        (admitted(), lambda s: s.dispatch(6)),  # more than is known
        (admitted(), lambda s: s.receive(7)),  # nothing in flight
        (decoding(), lambda s: s.name_drafts((8,))),  # none were proposed
        (scoring(10, 8), lambda s: s.score(3)),  # more than the prompt has
        (scoring(10, 8), lambda s: s.score(-1)),
    ],
)
def test_a_verb_at_the_wrong_time_is_a_bug(sequence: Sequence, verb: Callable[[Sequence], object]) -> None:
    with pytest.raises(AssertionError):
        verb(sequence)


def test_two_tokens_in_flight_are_the_most() -> None:
    sequence = admitted()
    sequence.dispatch(5)
    with pytest.raises(AssertionError):
        sequence.admit(0, 0, 0.0)
    sequence.dispatch(1)
    with pytest.raises(AssertionError):
        sequence.dispatch(1)


def test_proposals_stand_behind_a_known_token_and_need_a_place() -> None:
    flying = decoding()
    flying.dispatch(1)
    with pytest.raises(AssertionError):
        flying.propose((8,))
    flying.propose(())
    full = decoding()
    full.place(Slot(7, 0))
    full.propose((8,))
    with pytest.raises(AssertionError):
        full.propose((8, 9))
    misnamed = decoding()
    misnamed.propose((DRAFTED, 8))
    with pytest.raises(AssertionError):
        misnamed.name_drafts((9, 8))


def test_nobody_else_changes_a_sequence() -> None:
    assert written_in_engine({field.name for field in fields(Sequence)}) == []


def test_changes_from_outside_are_found(tmp_path: Path) -> None:
    path = tmp_path / "other.py"
    path.write_text(
        "sequence.slot = None\nself.slot, s.num_computed = 1, 2\ns.proposals += (1,)\ns.other = s.slot\n"
        "s.token_ids.append(1)\ns.token_ids[3] = 4\nself.token_ids.append(2)\ns.token_ids.index(1)\n"
    )
    found = written_fields(path, {"slot", "num_computed", "proposals", "token_ids"})
    assert sorted(line.removeprefix("other.py: ") for line in found) == [
        "s.num_computed",
        "s.proposals",
        "s.token_ids",
        "s.token_ids",
        "sequence.slot",
    ]


def test_the_first_admission_is_remembered_through_a_preemption() -> None:
    sequence = admitted()
    sequence.restart()
    sequence.place(Slot(64, 1))
    sequence.admit(0, 0, now_seconds=9.0)
    assert (sequence.first_admitted_seconds, sequence.admitted_seconds) == (3.0, 9.0)
