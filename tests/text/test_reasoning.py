from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.events import OutputPipeline
from api.text.answer_form import AnswerForm
from api.text.output_pipeline import build_pipeline
from api.text.reasoning import ReasoningFormat, find_reasoning_format
from api.text.tokenizer import DeclaredFormats, Tokenizer
from tests.text.streams import Answer, encode_cut, joined, stream
from tests.text.templates import HARMONY, HARMONY_TOKENS

LoadWith = Callable[..., Tokenizer]
MARKERS = ("<think>", "</think>")
PARTS = [*MARKERS, "\n", " ", "a", "\N{EURO SIGN}", "END", "<", "/think>"]
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["tokens", "special_tokens"])
def thinker(load_with: LoadWith, request: pytest.FixtureRequest) -> Tokenizer:
    """Its markers are single tokens; special ones leave no trace in the decoded text."""
    return load_with(**{"tokens": (), request.param: MARKERS})


@pytest.fixture
def harmony(load_with: LoadWith) -> Tokenizer:
    return load_with(HARMONY, special_tokens=HARMONY_TOKENS)


def reasoning_of(tokenizer: Tokenizer) -> ReasoningFormat:
    reasoning = find_reasoning_format(tokenizer)
    assert reasoning is not None
    return reasoning


def pipeline_of(tokenizer: Tokenizer, **options: Any) -> OutputPipeline:
    return build_pipeline(tokenizer, AnswerForm(reasoning=reasoning_of(tokenizer), **options), stops=("END",))


def answer_of(tokenizer: Tokenizer, text: str, **options: bool) -> Answer:
    return joined(stream(pipeline_of(tokenizer, **options), tokenizer.encode(text)))


def test_the_declared_markers(thinker: Tokenizer) -> None:
    reasoning = reasoning_of(thinker)
    assert (reasoning.begin, reasoning.end) == MARKERS


def test_no_markers_no_reasoning(load_with: LoadWith) -> None:
    assert find_reasoning_format(load_with(tokens=())) is None


def test_markers_that_only_the_template_knows(load_with: LoadWith) -> None:
    tokenizer = load_with("{{ messages[0].content }}[THINK]{# [/THINK] #}", tokens=())
    reasoning = reasoning_of(tokenizer)
    assert (reasoning.begin, reasoning.end) == ("[THINK]", "[/THINK]")
    assert len(tokenizer.encode("[THINK]")) > 1
    assert answer_of(tokenizer, "[THINK]a[/THINK]b") == Answer("b", "a")


@pytest.mark.parametrize(
    ("text", "content", "thought"),
    [
        ("<think>\nHm.\n</think>\n\nHello", "Hello", "Hm."),
        ("\n<think>Hm.</think>Hello", "Hello", "Hm."),
        ("<think>\n\n</think>\n\nHello\n", "Hello\n", ""),
        ("<think>a\n\nb </think>  \n  code", "  code", "a\n\nb"),
        ("Hello", "Hello", ""),
        (" Hello\n\n", " Hello\n\n", ""),
        ("<think>never closed\n", "", "never closed"),
        ("<think>a</think>b<think>c</think> d", "b d", "ac"),
        ("<think>an END</think>Here: END, no", "Here: ", "an END"),
        ("a < b <think", "a < b <think", ""),
    ],
)
def test_splits_reasoning_from_content(thinker: Tokenizer, text: str, content: str, thought: str) -> None:
    assert answer_of(thinker, text) == Answer(content, thought)


def test_the_prompt_may_have_opened_the_block(thinker: Tokenizer) -> None:
    assert answer_of(thinker, "\nHm.</think>\nHi", starts_in_reasoning=True) == Answer("Hi", "Hm.")
    assert answer_of(thinker, "Hm.", starts_in_reasoning=True) == Answer("", "Hm.")


@relaxed
@given(
    parts=st.lists(st.sampled_from(PARTS), max_size=9),
    cuts=st.sets(st.integers(0, 60)),
)
def test_however_the_tokens_fall(load_with: LoadWith, parts: list[str], cuts: set[int]) -> None:
    thinker = load_with(tokens=MARKERS)
    text = "".join(parts)
    pipeline = pipeline_of(thinker)
    assert joined(stream(pipeline, encode_cut(thinker, text, cuts))) == answer_of(thinker, text)


def test_reasoning_streams(thinker: Tokenizer) -> None:
    pipeline = pipeline_of(thinker)
    token_ids = [i for part in ("<think>", "a", "b", "</think>", "c") for i in thinker.encode(part)]
    pieces = [pipeline.feed(token_id) for token_id in token_ids]
    assert [(piece.reasoning, piece.content) for piece in pieces] == [
        ("", ""),
        ("a", ""),
        ("b", ""),
        ("", ""),
        ("", "c"),
    ]


def test_counts_the_tokens_inside(thinker: Tokenizer) -> None:
    inside = thinker.encode("\nLet me see\N{EURO SIGN}.\n")
    token_ids = thinker.encode("<think>") + inside + thinker.encode("</think>Paris")
    pipeline = pipeline_of(thinker)
    stream(pipeline, token_ids)
    assert pipeline.num_reasoning_tokens == len(inside)
    cut_off = pipeline_of(thinker, starts_in_reasoning=True)
    stream(cut_off, inside[:-3])
    assert cut_off.num_reasoning_tokens == len(inside) - 3


def test_logprobs_are_of_content_only(thinker: Tokenizer) -> None:
    content = thinker.encode("Paris\N{EURO SIGN}")
    token_ids = thinker.encode("<think>a b\n</think>\n\n") + content
    answer = joined(stream(pipeline_of(thinker), token_ids, has_logprobs=True))
    first = len(token_ids) - len(content)
    assert [logprob.logprob for logprob in answer.logprobs] == [
        -float(first + i) for i in range(len(content))
    ]


@pytest.mark.parametrize(
    ("prompt", "continued", "is_open"),
    [
        ("<|assistant|><think>\n", "", True),
        ("<|assistant|><think>\n\n</think>\n\n", "", False),
        ("what does <think> mean?<|assistant|>", "", False),
        ("<|assistant|><think>I know", "<think>I know", True),
        ("<|assistant|><think>a</think>b", "<think>a</think>b", False),
        ("<|assistant|><think>Sure", "Sure", True),
        ("<|assistant|>Sure", "Sure", False),
    ],
)
def test_whether_a_prompt_ends_inside(thinker: Tokenizer, prompt: str, continued: str, is_open: bool) -> None:
    assert reasoning_of(thinker).is_open_after(prompt, continued) is is_open


def test_messages_with_headers(harmony: Tokenizer) -> None:
    text = (
        "<|channel|>analysis<|message|>Hm.<|end|>"
        "<|start|>assistant<|channel|>commentary<|message|>Wait. <|end|>"
        "<|start|>assistant<|channel|>final<|message|>Paris."
    )
    assert answer_of(harmony, text) == Answer("Wait. Paris.", "Hm.")


def test_text_where_a_header_should_be_is_the_answer(harmony: Tokenizer) -> None:
    assert answer_of(harmony, '{"a": 1}') == Answer('{"a": 1}')
    long_text = "no header at all. " * 20
    pipeline = pipeline_of(harmony)
    pieces = [pipeline.feed(token_id) for token_id in harmony.encode(long_text)]
    assert "".join(piece.content for piece in pieces) == long_text


def test_a_continued_message_has_no_header(harmony: Tokenizer) -> None:
    assert answer_of(harmony, "is.", continues_text=True) == Answer("is.")


def test_declared_headers(load_with: LoadWith) -> None:
    tokenizer = load_with(special_tokens=("<|eom|>", "<|start|>", "<|message|>"), tokens=())
    declared = DeclaredFormats(
        think_begin=None,
        think_end=None,
        dropped_markers=(),
        transitions={
            "header": [("to=self<|message|>", "reasoning"), ("to=user<|message|>", "normal")],
            "reasoning": [("<|eom|>", "header")],
            "normal": [("<|eom|>", "header")],
        },
        tool_begin=None,
        tool_end=None,
        tool_parser=None,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer, "declared_formats", declared)
        text = "to=self<|message|>Hm.<|eom|><|start|>assistant to=user<|message|>Paris."
        assert answer_of(tokenizer, text) == Answer("Paris.", "Hm.")


def test_dropped_markers(load_with: LoadWith) -> None:
    names = ("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>")
    tokenizer = load_with(special_tokens=names, tokens=())
    text = (
        "<|open|>think<|sep|>Hm.<|close|>think<|sep|>"
        "<|open|>response<|sep|>Paris.<|close|>response<|sep|><|close|>message<|sep|>"
    )
    assert answer_of(tokenizer, text) == Answer("Paris.", "Hm.")
