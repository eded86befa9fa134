from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.text.output_pipeline import TextPipeline
from api.text.tokenizer import Tokenizer
from api.types import OutputPipeline

LoadKind = Callable[[str], Tokenizer]
EURO_BYTES = "\N{EURO SIGN}".encode()


def run(pipeline: OutputPipeline, token_ids: list[int]) -> list[str]:
    return [*map(pipeline.feed, token_ids), pipeline.flush()]


def test_stop_string_spans_tokens(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    token_ids = [i for char in "One. END two" for i in tokenizer.encode(char)]
    pipeline = TextPipeline(tokenizer, ("END",))
    assert "".join(run(pipeline, token_ids)) == "One. "
    assert pipeline.is_stopped


def test_stop_string_inside_one_token(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    token_ids = tokenizer.encode("<think>")
    assert len(token_ids) == 1
    assert run(TextPipeline(tokenizer, ("ink",)), token_ids) == ["<th", ""]


def test_flush_shows_a_held_beginning_before_a_broken_character(load_kind: LoadKind) -> None:
    tokenizer = load_kind("sentencepiece")
    pipeline = TextPipeline(tokenizer, ("EX",))
    assert run(pipeline, [1 + ord("E"), 1 + EURO_BYTES[0]]) == ["", "", "E\ufffd"]
    assert not pipeline.is_stopped


def test_broken_character_at_the_end_can_be_a_stop(load_kind: LoadKind) -> None:
    pipeline = TextPipeline(load_kind("sentencepiece"), ("\ufffd",))
    assert run(pipeline, [1 + ord("E"), 1 + EURO_BYTES[0]]) == ["E", "", ""]
    assert pipeline.is_stopped


@pytest.mark.parametrize(("continues_text", "text"), [(False, "hello"), (True, " hello")])
def test_continued_text_keeps_its_space(load_kind: LoadKind, continues_text: bool, text: str) -> None:
    tokenizer = load_kind("sentencepiece")
    pipeline = TextPipeline(tokenizer, continues_text=continues_text)
    assert "".join(run(pipeline, tokenizer.encode("hello"))) == text


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text("aeo \N{EURO SIGN}\N{LLAMA}", max_size=30), stop=st.text("aeo \N{EURO SIGN}", max_size=3))
def test_equals_the_whole_cut_at_the_stop(load_kind: LoadKind, text: str, stop: str) -> None:
    tokenizer = load_kind("byte_level")
    pipeline = TextPipeline(tokenizer, (stop,) if stop else ())
    expected = text.partition(stop)[0] if stop else text
    assert "".join(run(pipeline, tokenizer.encode(text))) == expected
    assert pipeline.is_stopped == (bool(stop) and stop in text)
