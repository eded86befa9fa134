from __future__ import annotations

from api.engine.scheduling.spans import make_spans
from api.engine.sequences.sequence import Sequence
from api.step_plan import Slot
from tests.engine.factories import SCORING, create_sequence


def placed(sequence_id: int, capacity: int, index: int, **changes: object) -> Sequence:
    sequence = create_sequence(sequence_id, num_prompt_tokens=6)
    sequence.slot = Slot(capacity, index)
    for name, value in changes.items():
        setattr(sequence, name, value)
    return sequence


def test_single_tokens_come_first_by_class_and_slot() -> None:
    sequences = [placed(1, 64, 0), placed(2, 16, 1), placed(3, 16, 0), placed(4, 8, 0)]
    spans = make_spans([(sequences[0], 1), (sequences[3], 4), (sequences[1], 1), (sequences[2], 1)])
    assert [(span.sequence_id, span.num_tokens) for span in spans] == [(3, 1), (2, 1), (1, 1), (4, 4)]


def test_only_rows_that_reach_the_last_known_token_sample() -> None:
    sequence = placed(1, 64, 0, num_computed=2)
    (part,), (rest,) = make_spans([(sequence, 3)]), make_spans([(sequence, 4)])
    assert (part.start, part.num_samples) == (2, 0)
    assert (rest.token_ids, rest.num_samples) == (tuple(sequence.token_ids[2:]), 1)


def test_proposals_follow_the_last_known_token_and_every_row_samples() -> None:
    sequence = placed(1, 64, 0, num_computed=7, proposals=(21, 22, 23))
    sequence.token_ids += [8, 9]
    (span,) = make_spans([(sequence, 4)])
    assert (span.start, span.token_ids, span.num_samples, span.sample_index) == (7, (9, 21, 22, 23), 4, 2)


def test_rows_of_a_prompt_name_the_tokens_that_they_score() -> None:
    sequence = placed(1, 64, 0, num_computed=2, sampling=SCORING)
    (part,), (rest,) = make_spans([(sequence, 3)]), make_spans([(sequence, 4)])
    assert (part.scored_ids, part.num_logits) == (tuple(sequence.token_ids[3:6]), 3)
    assert (rest.scored_ids, rest.num_logits) == (tuple(sequence.token_ids[3:6]), 4)
