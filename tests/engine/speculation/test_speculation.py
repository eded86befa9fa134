from __future__ import annotations

from dataclasses import replace

import pytest

from api.engine.budget.step_budget import StepBudget
from api.engine.sequences.sequence import Sequence
from api.engine.speculation import repeats
from api.engine.speculation.repeats import Repeats
from api.engine.speculation.speculation import (
    MOST_SAMPLED_PROPOSALS,
    AdaptiveSpeculation,
    NoSpeculation,
    room_for_proposals,
)
from api.engine.speculation.verification_costs import StepKind, VerificationCosts
from api.step_plan import Slot
from api.types import SamplingParams
from tests.engine.factories import GREEDY, create_sequence

PATTERN = list(range(100, 130))
PLAIN_SECONDS = 0.010


def create_speculation(
    num_decoding: int = 1, slowdown: float = 1.3, per_row: float = 0.0
) -> AdaptiveSpeculation:
    """Verifying steps take ``slowdown`` times a plain one, and ``per_row`` for each proposal."""
    budget = StepBudget(stall_seconds=0.1, max_step_tokens=256, first_chunk_tokens=64)
    costs = VerificationCosts(budget)
    made = AdaptiveSpeculation(costs, [Repeats()])
    made.observe(StepKind(num_decoding), PLAIN_SECONDS)
    for num_verifying in range(1, num_decoding + 1):
        for size in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128):
            for _ in range(7):
                seconds = (slowdown + per_row * size) * PLAIN_SECONDS
                made.observe(StepKind(num_decoding, num_verifying, size), seconds)
    return made


def decoding(
    *answer: int,
    sequence_id: int = 1,
    in_flight: bool = False,
    max_tokens: int = 100,
    sampling: SamplingParams = GREEDY,
) -> Sequence:
    """A sequence that repeats its prompt, or says something else."""
    prompt = [t + 1000 * sequence_id for t in PATTERN]
    sequence = create_sequence(sequence_id, prompt=prompt, max_tokens=max_tokens, sampling=sampling)
    sequence.token_ids += answer
    sequence.num_computed = len(sequence.token_ids) - (0 if in_flight else 1)
    sequence.num_in_flight = int(in_flight)
    sequence.slot = Slot(256, sequence_id)
    return sequence


def repeating(num_tokens: int = 12, sequence_id: int = 1, **how: bool | int | SamplingParams) -> Sequence:
    answer = [t + 1000 * sequence_id for t in PATTERN[:num_tokens]]
    return decoding(*answer, sequence_id=sequence_id, **how)  # type: ignore[arg-type]


def propose(made: AdaptiveSpeculation, *sequences: Sequence) -> None:
    made.reads_first(list(sequences))
    made.propose(list(sequences))


def answer_with(made: AdaptiveSpeculation, sequence: Sequence, *tokens: int) -> None:
    """The step's tokens come back, one after another, as long as they hold."""
    sequence.dispatch(1 + len(sequence.proposals))
    for token in tokens:
        if sequence.num_in_flight and sequence.receive(token):
            made.accept(sequence.sequence_id)


def test_a_text_that_repeats_gets_proposals_from_where_it_was_before() -> None:
    made, sequence = create_speculation(), repeating(12)
    propose(made, sequence)
    assert len(sequence.proposals) > 3
    assert list(sequence.proposals) == [t + 1000 for t in (PATTERN * 3)[12 : 12 + len(sequence.proposals)]]
    assert made.num_proposed_tokens == len(sequence.proposals)


def test_a_text_without_repeats_gets_none_and_nobody_waits() -> None:
    made, sequence = create_speculation(), decoding(1, 2, 3, in_flight=True)
    assert not made.reads_first([sequence])
    made.propose([sequence])
    assert sequence.proposals == ()


def test_the_token_in_flight_is_read_first_where_proposals_are_likely() -> None:
    made, sequence = create_speculation(), repeating(12, in_flight=True)
    assert made.reads_first([sequence])
    made.propose([sequence])
    assert made.num_proposed_tokens == 0
    sequence.receive(PATTERN[12] + 1000)
    assert not made.reads_first([sequence])
    made.propose([sequence])
    assert sequence.proposals[0] == PATTERN[13] + 1000


def test_a_token_that_is_not_read_makes_proposals_less_likely() -> None:
    """There is room for one, behind a match of two tokens."""
    cheap = create_speculation(slowdown=1.05)
    assert not cheap.reads_first([repeating(2, in_flight=True, max_tokens=5)])
    known = repeating(2, sequence_id=2, max_tokens=4)
    propose(cheap, known)
    assert len(known.proposals) == 1


def test_a_step_with_proposals_is_read_before_anything_is_planned() -> None:
    made, sequence, other = create_speculation(2), repeating(12), decoding(5, 6, sequence_id=2)
    propose(made, sequence, other)
    assert sequence.proposals and not other.proposals
    assert made.reads_first([sequence, other])


def test_more_is_proposed_after_all_came_true() -> None:
    made, sequence = create_speculation(per_row=0.25), repeating(8)
    propose(made, sequence)
    first = len(sequence.proposals)
    answer_with(made, sequence, *sequence.proposals, 1000 + PATTERN[8 + first])
    assert made.num_accepted_tokens == first
    propose(made, sequence)
    assert len(sequence.proposals) > first > 0


def test_less_is_proposed_after_nothing_came_true() -> None:
    made, sequence = create_speculation(slowdown=1.0, per_row=0.1), repeating(8)
    numbers = []
    for i in range(4):
        propose(made, sequence)
        numbers.append(len(sequence.proposals))
        answer_with(made, sequence, 3000 + i)
        sequence.token_ids += [t + 1000 for t in PATTERN[:8]]
        sequence.num_computed = len(sequence.token_ids) - 1
    assert numbers[0] > numbers[3]


def test_a_text_whose_repeats_mislead_is_left_alone() -> None:
    """Five tokens that were there before, then always another one."""
    made, sequence = create_speculation(), decoding()
    numbers = []
    for i in range(60):
        sequence.token_ids += [1005, 1006, 1007, 1008, 1009]
        sequence.num_computed = len(sequence.token_ids) - 1
        propose(made, sequence)
        numbers.append(len(sequence.proposals))
        answer_with(made, sequence, 2000 + i)
    assert numbers[1] > 0 and not any(numbers[30:])
    assert made.num_accepted_tokens == 0


def test_what_was_never_proposed_is_learnt_from_as_well() -> None:
    made, sequence = create_speculation(slowdown=100.0), decoding()
    for i in range(60):
        sequence.token_ids += [1005, 1006, 1007, 1008, 1009, 2000 + i]
        sequence.num_computed = len(sequence.token_ids) - 1
        propose(made, sequence)
    assert made.num_proposed_tokens == 0
    cheap = create_speculation(slowdown=1.01)
    made._costs = cheap._costs
    sequence.token_ids += [1005, 1006, 1007, 1008, 1009]
    sequence.num_computed = len(sequence.token_ids) - 1
    propose(made, sequence)
    assert sequence.proposals == ()


@pytest.mark.parametrize(("slowdown", "pays"), [(1.5, True), (20.0, False)])
def test_it_must_pay_by_what_steps_take(slowdown: float, pays: bool) -> None:
    made, sequence = create_speculation(slowdown=slowdown), repeating(20)
    propose(made, sequence)
    assert bool(sequence.proposals) == pays


def test_one_repeating_text_among_many_does_not_pay_for_a_slower_step() -> None:
    made, sequence = create_speculation(16, slowdown=1.45), repeating(20)
    others = [decoding(5, 6, sequence_id=i) for i in range(2, 17)]
    propose(made, sequence, *others)
    assert made.num_proposed_tokens == 0
    cheaper = create_speculation(16, slowdown=1.05)
    propose(cheaper, sequence, *others)
    assert len(sequence.proposals) > 3


def test_others_are_not_held_up_for_one() -> None:
    """Two streams: the gain of one would outweigh what the other loses."""
    made, sequence, other = create_speculation(2, slowdown=1.6), repeating(20), decoding(5, 6, sequence_id=2)
    propose(made, sequence, other)
    assert made.num_proposed_tokens == 0
    made.forget(2)
    propose(made, sequence, repeating(20, sequence_id=2))
    assert made.num_proposed_tokens > 0


def test_before_a_plain_step_was_timed_nothing_is_proposed() -> None:
    made, sequence = create_speculation(2), repeating(20)
    propose(made, sequence)
    assert sequence.proposals == ()


@pytest.mark.parametrize(
    "sampling",
    [
        replace(GREEDY, frequency_penalty=0.5),
        replace(GREEDY, repetition_penalty=1.1),
    ],
)
def test_samples_that_depend_on_the_tokens_before_are_not_speculated_on(sampling: SamplingParams) -> None:
    made, sequence = create_speculation(), repeating(20, sampling=sampling)
    propose(made, sequence)
    assert sequence.proposals == ()


def test_there_is_room_for_the_rest_of_the_answer_and_of_the_slot() -> None:
    assert room_for_proposals(repeating(12, max_tokens=20)) == 7  # and the token behind them
    assert room_for_proposals(repeating(12, max_tokens=20, in_flight=True)) == 6
    assert room_for_proposals(repeating(12, max_tokens=13)) == 0
    sequence = repeating(12)
    sequence.slot = Slot(len(sequence.token_ids) + 3, 0)
    assert room_for_proposals(sequence) == 3
    sequence.slot = Slot(len(sequence.token_ids) - 1, 0)
    assert room_for_proposals(sequence) == 0


def test_no_more_is_proposed_than_there_is_room_for() -> None:
    made, sequence = create_speculation(), repeating(20, max_tokens=24)
    propose(made, sequence)
    assert len(sequence.proposals) == 3


def test_a_long_prompt_is_indexed_over_several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "_INDEXED_PER_STEP", 12)
    made, sequence = create_speculation(), repeating(20)
    lengths = []
    for _ in range(4):
        propose(made, sequence)
        lengths.append(len(sequence.proposals))
        sequence.proposals = ()
    assert lengths[:2] == [0, 0] and lengths[2] > 3


def test_prompts_share_what_is_indexed_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "_INDEXED_PER_STEP", 30)
    made, sequences = create_speculation(2), [repeating(20), repeating(20, sequence_id=2)]
    propose(made, *sequences)
    assert sequences[0].proposals and not sequences[1].proposals
    sequences[0].proposals = ()
    propose(made, *sequences)
    assert sequences[0].proposals and sequences[1].proposals


def test_what_is_forgotten_is_learnt_anew() -> None:
    made, sequence = create_speculation(), repeating(20)
    propose(made, sequence)
    sequence.proposals = ()
    made.forget(1)
    made.forget(1)
    made.propose([sequence])
    assert sequence.proposals == ()
    propose(made, sequence)
    assert sequence.proposals


def test_no_speculation_is_plain_decoding() -> None:
    sequence = repeating(20, in_flight=True)
    made = NoSpeculation()
    assert not made.reads_first([sequence])
    made.propose([sequence])
    assert sequence.proposals == () and made.num_proposed_tokens == 0


def test_rows_that_are_drawn_have_no_more_proposals_together_than_memory_is_planned_for() -> None:
    drawn = SamplingParams(temperature=0.8, seed=1)
    made = create_speculation(num_decoding=6, slowdown=1.05)
    sequences = [repeating(sequence_id=i, sampling=drawn if i < 5 else GREEDY) for i in range(6)]
    propose(made, *sequences)
    assert 0 < sum(len(s.proposals) for s in sequences[:5]) <= MOST_SAMPLED_PROPOSALS
    assert sequences[5].proposals
