"""A grammar behind a thinking block, and the text that a client gets: two threads read the same tokens."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher

from api.engine.sampling.constraint import Constraint, MaskBuilder
from api.text.output_pipeline import build_pipeline
from api.text.thinking import AnswerThinking
from api.types import SamplingParams
from tests.fakes.piece_tokenizer import PieceTokenizer
from tests.fakes.thinking import create_thinking
from tests.text.streams import Answer, joined, stream

EOS = "<eos>"
MARKERS = ("<think>", "</think>")
LETTERS = [*"abcxy<>/think. \n{"]
MAX_TOKENS = 60


class _Grammar:
    def __init__(self, tokenizer: PieceTokenizer, regex: str) -> None:
        self._vocabulary = tokenizer.with_grammars(EOS)
        self._source = LLMatcher.grammar_from_regex(regex)

    def new_matcher(self) -> LLMatcher:
        return LLMatcher(self._vocabulary, self._source, log_level=0)


def answer_like(
    tokenizer: PieceTokenizer,
    regex: str,
    wanted: Sequence[str],
    *,
    seed: int = 0,
    is_open: bool = True,
    max_tokens: int | None = None,
) -> tuple[list[str], Answer]:
    """The tokens of a model that wants some, and takes any that is allowed where it may not.

    Then it wants to stop thinking, and to end. Returns them, and what the client gets.
    """
    thinking = create_thinking(tokenizer, is_open=is_open, max_tokens=max_tokens, with_grammar=True)
    sampling = SamplingParams(grammar=_Grammar(tokenizer, regex), thinking=thinking)
    constraint = Constraint(sampling)
    ends = (tokenizer.id_of(EOS),)
    choice, build_masks = random.Random(seed), MaskBuilder()
    answer: list[int] = []
    for text in [*wanted, *MARKERS[1] * 4, *[EOS] * MAX_TOKENS]:
        allowed = np.ones(tokenizer.vocab_size, dtype=np.bool_)
        allowed[list(ends)] = not constraint.bans_ends
        if constraint.has_mask:
            banned = [ends if constraint.bans_ends else ()]
            allowed = build_masks([constraint], banned, tokenizer.vocab_size)[0]
        likeliest = tokenizer.id_of(text)
        chosen = likeliest if allowed[likeliest] else int(choice.choice(np.flatnonzero(allowed)))
        if chosen in ends:
            break
        answer.append(chosen)
        constraint.consume(chosen)
        assert constraint.error is None
    check_replay(sampling, answer, choice.randint(0, len(answer)), tokenizer.vocab_size)
    assert isinstance(thinking.text, AnswerThinking)
    pipeline = build_pipeline(tokenizer.as_tokenizer(), thinking.text.form)
    return [tokenizer.token_string(i) for i in answer], joined(stream(pipeline, answer))


def check_replay(sampling: SamplingParams, answer: list[int], num_known: int, vocab_size: int) -> None:
    """A sequence that stepped back begins with what is known, and allows the same again."""
    masks = []
    for split in (0, num_known):
        constraint = Constraint(sampling)
        for position, token_id in enumerate(answer[:num_known]):
            if position >= split and constraint.has_mask:  # one of the two was asked on the way
                MaskBuilder()([constraint], [()], vocab_size)
            constraint.consume(token_id)
        has_mask = constraint.has_mask
        masks.append(MaskBuilder()([constraint], [()], vocab_size).tolist() if has_mask else None)
    assert masks[0] == masks[1]


def create_tokenizer(*pieces: str) -> PieceTokenizer:
    return PieceTokenizer(list(dict.fromkeys([*LETTERS, *filter(None, pieces)])), [EOS])


@pytest.mark.parametrize(
    ("pieces", "thought"),
    [
        (["x", "</", "think", ">", "free"], "x"),
        (["x", "</", "think", ">\n\n", "free"], "x"),
        (["x", ".</", "think", ">", "free"], "x."),
        (["x", "</think>\n", "free"], "x"),
        (["x.</think>", "free"], "x."),
        (["x", "</", "think>", "ab", "free"], "x"),
    ],
)
def test_the_answer_is_held_to_its_form_however_the_marker_falls(pieces: list[str], thought: str) -> None:
    tokens, answer = answer_like(create_tokenizer(*pieces), "abc|bca", pieces)
    end = pieces.index("free")
    assert tokens[:end] == pieces[:end]
    assert answer.content in ("abc", "bca") and answer.reasoning == thought


@pytest.mark.parametrize(("rest", "is_allowed"), [("ab", True), ("\n\n", True), ("\na", True), ("x", False)])
def test_what_stands_behind_the_marker_is_the_grammars(rest: str, is_allowed: bool) -> None:
    pieces = ["x", "</think", ">" + rest]
    tokens, answer = answer_like(create_tokenizer(*pieces), "abc", pieces)
    assert (tokens[2] == pieces[2]) is is_allowed
    assert answer.content == "abc"


def test_a_grammar_that_begins_with_blank_lines_gets_them() -> None:
    pieces = ["x", "</think>", "\n", "\n", "a"]
    _, answer = answer_like(create_tokenizer(*pieces), "\n\na", pieces)
    assert (answer.content, answer.reasoning) == ("\n\na", "x")


@pytest.mark.parametrize("pieces", [["<think>", "x"], ["<", "think", ">x"], ["<th", "ink>\n", "x"]])
def test_a_block_may_open_with_the_answer_and_not_later(pieces: list[str]) -> None:
    tokenizer = create_tokenizer(*pieces, "</think>")
    wanted = [*pieces, "</think>", *"a<think>"]
    _, answer = answer_like(tokenizer, "a<think>b", wanted, is_open=False)
    assert (answer.content, answer.reasoning.strip()) == ("a<think>b", "x")


def test_a_text_that_begins_like_the_marker_is_the_grammars() -> None:
    _, answer = answer_like(create_tokenizer("<t"), "<thin>a", ["<t", *"hin>a"], is_open=False)
    assert (answer.content, answer.reasoning) == ("<thin>a", "")


def test_a_special_token_is_the_marker_too() -> None:
    tokenizer = PieceTokenizer(LETTERS, ["<think>", "</think>", EOS])
    _, answer = answer_like(tokenizer, "abc", ["<think>", "x", "</think>", "x"], is_open=False)
    assert (answer.content, answer.reasoning) == ("abc", "x")


@settings(deadline=None, max_examples=150)
@given(
    before=st.text("x.<\n/", max_size=4),
    behind=st.text("abx\n <", max_size=4),
    cuts=st.sets(st.integers(0, 24)),
    is_open=st.booleans(),
    max_tokens=st.none() | st.integers(0, 6),
    seed=st.integers(0, 9),
    regex=st.sampled_from(["a{2}b|ba", r"\n?ab", "<ab>|<think", r" *\{c"]),
)
def test_any_cut_with_any_neighbours(
    before: str, behind: str, cuts: set[int], is_open: bool, max_tokens: int | None, seed: int, regex: str
) -> None:
    text = ("" if is_open else MARKERS[0]) + before + MARKERS[1] + behind
    ends = sorted({cut for cut in cuts if 0 < cut < len(text)} | {len(text)})
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    tokens, answer = answer_like(
        create_tokenizer(*pieces), regex, pieces, seed=seed, is_open=is_open, max_tokens=max_tokens
    )
    assert re.fullmatch(regex, answer.content), (tokens, answer)
