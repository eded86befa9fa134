from __future__ import annotations

import numpy as np
import pytest

from api.engine.sampling.constraint import Constraint, MaskBuilder
from api.errors import ServerSideError
from api.types import SamplingParams, Thinking
from tests.engine.sampling_factories import (
    CHARACTERS,
    END_THINK,
    EOS,
    SECOND_END,
    THINK,
    TOKENIZER_SIZE,
    RegexGrammar,
    text_of,
    token_ids,
)
from tests.fakes.thinking import create_thinking

OPEN = create_thinking(CHARACTERS, with_grammar=True)
CLOSED = create_thinking(CHARACTERS, with_grammar=True, is_open=False)


def constraint(regex: str | None = None, thinking: Thinking | None = None, said: str = "") -> Constraint:
    grammar = None if regex is None else RegexGrammar(regex)
    made = Constraint(SamplingParams(grammar=grammar, thinking=thinking))
    for token_id in token_ids(said):
        made.consume(token_id)
    return made


def allowed(
    *constraints: Constraint, banned: tuple[int, ...] = (), vocab_size: int = TOKENIZER_SIZE
) -> list[str]:
    masks = MaskBuilder()(constraints, [banned] * len(constraints), vocab_size)
    assert masks.shape == (len(constraints), vocab_size)
    return [text_of(np.flatnonzero(mask).tolist()) for mask in masks]


def test_each_row_has_its_own_place_in_its_own_grammar() -> None:
    rows = [constraint("ab|ac", said="a"), constraint("[x-z]+"), constraint("[x-z]+", said="x")]
    assert allowed(*rows) == ["bc", "xyz", f"xyz<{EOS}>"]
    assert allowed(rows[0]) == ["bc"]


def test_a_grammar_that_is_complete_allows_the_end_also_after_it() -> None:
    row = constraint("ab", said="ab")
    for _ in range(3):
        assert allowed(row) == [f"<{EOS}>"]
        row.consume(EOS)
    assert row.error is None


@pytest.mark.parametrize("vocab_size", [TOKENIZER_SIZE, 100, 128, 129, 500])
def test_ids_beyond_the_tokenizer_are_never_allowed(vocab_size: int) -> None:
    assert allowed(constraint("[ -~]+"), constraint("a"), vocab_size=vocab_size)[1] == "a"
    assert allowed(constraint("[ -~]+"), vocab_size=vocab_size)[0] == text_of(range(95))


def test_a_vocabulary_smaller_than_the_tokenizers_cuts_the_mask() -> None:
    assert allowed(constraint("[ -~]+"), vocab_size=40) == [text_of(range(40))]


def test_where_no_token_of_the_model_continues_the_row_fails_alone() -> None:
    bad, good = constraint("~"), constraint("a")
    assert allowed(bad, good, vocab_size=70)[1] == "a"
    assert isinstance(bad.error, ServerSideError) and good.error is None
    assert not bad.has_mask


def test_a_refused_token_fails_the_row_alone() -> None:
    bad, good = constraint("ab", said="x"), constraint("ab")
    assert isinstance(bad.error, ServerSideError) and "\n" not in bad.error.message
    assert not bad.has_mask
    bad.consume(token_ids("a")[0])
    assert allowed(good) == ["a"]


def test_a_matcher_that_fails_while_the_mask_is_made_fails_the_row_alone() -> None:
    bad, good = constraint("ab"), constraint("ab")
    assert bad.matcher is not None
    bad.matcher.consume_token(token_ids("x")[0])  # as if it had run into a limit
    masks = MaskBuilder()([bad, good], [(), ()], TOKENIZER_SIZE)
    assert bad.error is not None and masks[0].all()
    assert text_of(np.flatnonzero(masks[1]).tolist()) == "a"


def test_banned_ends_are_taken_away_unless_only_they_are_left() -> None:
    rows = constraint("a*"), constraint("a", said="a")
    assert allowed(*rows) == [f"a<{EOS}>", f"<{EOS}>"]
    assert allowed(*rows, banned=(EOS, 4000)) == ["a", f"<{EOS}>"]


def test_inside_the_thinking_block_the_grammar_neither_masks_nor_consumes() -> None:
    row = constraint("ab", OPEN)
    assert not row.has_mask and row.bans_ends
    for token_id in (*token_ids("xyz"), END_THINK):
        row.consume(token_id)
    assert not row.has_mask and row.error is None
    row.consume(SECOND_END)
    assert row.has_mask and not row.bans_ends
    assert allowed(row) == ["a"]
    row.consume(token_ids("a")[0])
    assert allowed(row) == ["b"]


def test_the_first_token_may_open_the_block() -> None:
    row = constraint("ab", CLOSED)
    assert allowed(row) == [f"a<{THINK}>"]
    row.consume(THINK)
    assert not row.has_mask and row.bans_ends
    direct = constraint("ab", CLOSED, said="a")
    assert allowed(direct) == ["b"]


def spelled_thinking(**options: bool) -> Thinking:
    """Its markers have no token of their own."""
    return create_thinking(CHARACTERS, begin="<t>", end="</t>", with_grammar=True, **options)


def test_a_start_marker_that_begins_as_the_grammar_does_is_open_until_they_part() -> None:
    row = constraint("<(b|t)c", spelled_thinking(is_open=False), said="<")
    assert row.error is None and allowed(row) == ["bt"]
    grammars, thought = (
        constraint("<(b|t)c", spelled_thinking(is_open=False), said=said) for said in ("<tc", "<t>c</t>")
    )
    assert grammars.error is None and allowed(grammars) == [f"<{EOS}>"]
    assert thought.error is None and allowed(thought) == ["<"]


def test_a_start_marker_that_the_grammar_rules_out_is_completed() -> None:
    row = constraint("ab", spelled_thinking(is_open=False), said="<")
    assert row.bans_ends and allowed(row) == ["t"]
    for token_id in token_ids("t>think</t>"):
        row.consume(token_id)
    assert row.error is None and allowed(row) == ["a"]


def test_a_budget_forces_the_end_with_and_without_a_grammar() -> None:
    with_grammar = create_thinking(CHARACTERS, max_tokens=2, with_grammar=True)
    budget = create_thinking(CHARACTERS, max_tokens=2)
    rows = [constraint("ab", with_grammar, said="xy"), constraint(None, budget, said="xy"), constraint("ab")]
    assert allowed(*rows, banned=(END_THINK,)) == [f"<{END_THINK}>"] * 2 + ["a"]
    for row in rows[:2]:
        row.consume(END_THINK)
    assert allowed(*rows[:2]) == [f"<{SECOND_END}>"] * 2
    for row in rows[:2]:
        row.consume(SECOND_END)
    assert allowed(rows[0]) == ["a"] and not rows[1].has_mask


def test_a_step_of_many_grammars_is_that_of_each_alone() -> None:
    regexes = ["[a-f]{3}", "x*y", "(foo|bar)+", r"\d+", "[^a]"] * 7
    together = allowed(*(constraint(regex) for regex in regexes))
    assert together == [allowed(constraint(regex))[0] for regex in regexes]
