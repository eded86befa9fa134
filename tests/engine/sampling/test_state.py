from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.engine.sampling.state import Row, SamplingStates, TokenCounts, UnknownSequenceError
from api.step_plan import Slot, Span
from api.types import SamplingParams
from tests.engine.sampling_factories import CHARACTERS, END_THINK, SECOND_END, RegexGrammar, token_ids
from tests.fakes.thinking import create_thinking

PENALISED = SamplingParams(repetition_penalty=1.5, frequency_penalty=1.0)
GRAMMAR = SamplingParams(grammar=RegexGrammar("abc"))
PLAIN = SamplingParams(temperature=0.0)


def span(start: int, *known: int, index: int = 0, id: int = 1) -> Span:
    return Span(id, Slot(64, id), start, known, True, index)


def create_states(*samplings: SamplingParams) -> SamplingStates:
    """Of the sequences 1, 2, ..; one that is penalised unless others are named."""
    states = SamplingStates()
    for sequence_id, sampling in enumerate(samplings or (PENALISED,), 1):
        states.add(sequence_id, sampling)
    return states


def follow(states: SamplingStates, *spans: Span) -> list[Row]:
    return states.follow(states.rows(spans))


def counts(states: SamplingStates, newest: Span) -> dict[int, int]:
    """Distinct tokens and their number in the answer, as the newest span finds them."""
    [row] = follow(states, newest)
    assert row.state is not None and row.state.counts is not None
    return dict(
        zip(row.state.counts.token_ids.tolist(), row.state.counts.answer_counts.tolist(), strict=True)
    )


def test_a_history_is_built_from_chunks_and_samples() -> None:
    states = create_states()
    states.extend([span(0, 5, 6)])
    states.extend([prompt := span(2, 7, 5)])
    assert counts(states, prompt) == {5: 0, 6: 0, 7: 0}
    states.record(1, 6)
    states.extend([first := span(4, index=1)])  # the token in flight, not named
    assert counts(states, first) == {5: 0, 6: 1, 7: 0}
    states.record(1, 9)
    states.extend([second := span(5, 9, index=2)])  # read long ago, so it is named
    assert counts(states, second) == {5: 0, 6: 1, 7: 0, 9: 1}


def test_without_a_repetition_penalty_the_prompt_is_not_looked_at() -> None:
    states = create_states(replace(PENALISED, repetition_penalty=1.0))
    newest = span(0, 1, 2, 3, 3, index=2)
    states.extend([newest])
    assert counts(states, newest) == {3: 2}


def test_a_sequence_that_starts_again_knows_its_answer_from_its_spans() -> None:
    states = create_states()
    states.extend([span(0, 5, 6)])
    states.record(1, 7)
    states.release([1])
    states.record(1, 8)  # was in flight when it was preempted: it will be sampled again
    states.extend([span(0, 5, 6)])
    states.extend([newest := span(2, 7, index=1)])
    assert counts(states, newest) == {5: 0, 6: 0, 7: 1}


def test_the_first_span_begins_a_new_history_even_if_the_old_one_was_not_released() -> None:
    states = create_states()
    states.extend([span(0, 5, 6)])
    states.extend([newest := span(0, 9)])
    assert counts(states, newest) == {9: 0}


def test_a_copied_prompt_comes_with_the_first_span() -> None:
    states = create_states()
    states.extend([newest := replace(span(3, 8), known_ids=(5, 6, 7))])
    assert counts(states, newest) == {5: 0, 6: 0, 7: 0, 8: 0}


def test_tokens_that_were_never_told_are_an_error() -> None:
    with pytest.raises(ValueError, match="sequence 1: the tokens before 3 are not known"):
        create_states().extend([span(3, 8)])


def test_only_sequences_that_need_it_have_a_state() -> None:
    states = create_states(PENALISED, PLAIN, GRAMMAR)
    states.extend([span(0, 1), span(0, 1, id=2), span(0, 1, id=3)])
    states.record(2, 5)
    assert len(states) == 2
    assert follow(states, span(0, 1, id=2))[0].state is None
    states.release([1, 2, 99])
    assert len(states) == 1
    states.reset()
    assert len(states) == 0


def test_the_matcher_follows_the_answer_alone() -> None:
    states = create_states(GRAMMAR)
    a, b, c = token_ids("abc")
    states.extend([newest := span(0, c, c, a, index=1)])
    [row] = follow(states, newest)
    assert row.error is None and row.has_mask
    states.record(1, b)
    states.extend([newest := span(3, index=2)])
    assert follow(states, newest)[0].error is None
    states.record(1, a)
    states.extend([newest := span(4, index=3)])
    assert follow(states, newest)[0].error is not None


def test_ends_are_banned_before_min_tokens_and_inside_a_thinking_block_under_a_grammar() -> None:
    early = SamplingParams(min_tokens=2, end_token_ids=(3, 4))
    thinking = replace(GRAMMAR, thinking=create_thinking(CHARACTERS, with_grammar=True), end_token_ids=(3,))
    states = create_states(early, early, thinking, thinking)
    spans = [
        span(0, 1, index=1, id=1),
        span(0, 1, index=2, id=2),
        span(0, 1, id=3),
        span(0, 1, END_THINK, SECOND_END, index=2, id=4),
    ]
    states.extend(spans)
    assert [row.banned_token_ids for row in follow(states, *spans)] == [(3, 4), (), (3,), ()]


def test_a_row_is_sampled_for_each_token_that_a_span_may_give_with_its_own_place_in_the_answer() -> None:
    drawing = SamplingParams(seed=4)
    states = create_states(PLAIN, PLAIN, drawing, PLAIN)
    plain, prefilling = span(9, index=5, id=1), replace(span(0, 1, 2, 3, id=2), num_samples=0)
    verifying, chunk = replace(span(7, 9, 21, 22, index=2, id=3), num_samples=3), span(0, 1, 2, 3, id=4)
    assert states.rows([plain, prefilling, verifying, chunk]) == [
        Row(1, PLAIN, 5),
        Row(3, drawing, 2),
        Row(3, drawing, 3),
        Row(3, drawing, 4),
        Row(4, PLAIN, 0),
    ]


def test_how_a_sequence_samples_is_known_until_it_ends() -> None:
    states = create_states()
    states.extend([span(0, 5, 6)])
    states.release([1])
    states.reset()
    assert states.rows([span(0, 5)]) == [Row(1, PENALISED, 0)]
    states.remove([1, 99])
    for ask in (states.rows, states.extend):
        with pytest.raises(UnknownSequenceError, match="sequence 1, which was never added or has ended"):
            ask([span(0, 5)])


def test_a_span_that_samples_nothing_must_be_of_a_known_sequence_too() -> None:
    states = create_states()
    assert states.rows([replace(span(0, 5), num_samples=0)]) == []
    with pytest.raises(UnknownSequenceError, match="sequence 7"):
        states.rows([replace(span(0, 5, id=7), num_samples=0)])


THINKING = create_thinking(CHARACTERS, is_open=False)


@pytest.mark.parametrize(
    ("params", "plain", "state"),
    [
        ({}, True, False),
        ({"top_p": 0.5, "top_k": 3, "min_p": 0.1, "seed": 9}, True, False),
        ({"end_token_ids": (1,), "thinking": THINKING}, True, False),
        ({"temperature": 0.1}, False, False),
        ({"num_top_logprobs": 0}, False, False),
        ({"logit_bias": ((1, 1.0),)}, False, False),
        ({"min_tokens": 1}, False, False),
        ({"frequency_penalty": -0.1}, False, True),
        ({"presence_penalty": 0.1}, False, True),
        ({"repetition_penalty": 0.9}, False, True),
        ({"grammar": RegexGrammar("a")}, False, True),
        ({"thinking": replace(THINKING, max_tokens=0)}, False, True),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value),
)
def test_what_is_more_than_the_best_logit(params: dict[str, object], plain: bool, state: bool) -> None:
    sampling = SamplingParams(**{"temperature": 0.0, **params})  # type: ignore[arg-type]
    assert Row(1, sampling, 0).is_plain is plain
    assert sampling.needs_state is state


def test_once_an_answer_is_long_enough_its_row_is_plain() -> None:
    sampling = SamplingParams(temperature=0.0, min_tokens=2, end_token_ids=(1,))
    assert [Row(1, sampling, i).is_plain for i in range(4)] == [False, False, True, True]


@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=400))
def test_distinct_tokens_in_order_and_their_number_in_the_answer(seen: list[tuple[int, bool]]) -> None:
    token_counts = TokenCounts()
    for token_id, is_answer in seen:
        token_counts.add(token_id, is_answer=is_answer)
    in_answer = Counter(token_id for token_id, is_answer in seen if is_answer)
    distinct = list(dict.fromkeys(token_id for token_id, _ in seen))
    assert token_counts.token_ids.tolist() == distinct
    assert token_counts.answer_counts.tolist() == [in_answer[token_id] for token_id in distinct]
