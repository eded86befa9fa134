from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.events import OutputPiece, OutputPipeline
from api.step_plan import SampledLogprobs
from api.text.answer_form import AnswerForm
from api.text.output_pipeline import TextPipeline, build_pipeline
from api.text.reasoning import find_reasoning_format
from api.text.tokenizer import Tokenizer
from api.text.tool_calls.formats import STANDARD_FORMAT
from tests.text.streams import encode_cut, joined, stream, tool_use

LoadKind = Callable[[str], Tokenizer]
EURO_BYTES = "\N{EURO SIGN}".encode()
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def run(pipeline: OutputPipeline, token_ids: list[int]) -> list[str]:
    pieces = [*map(pipeline.feed, token_ids), pipeline.flush()]
    assert all(piece == OutputPiece(content=piece.content) for piece in pieces)
    return [piece.content for piece in pieces]


def test_stop_string_spans_tokens(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    token_ids = [i for char in "One. END two" for i in tokenizer.encode(char)]
    pipeline = build_pipeline(tokenizer, stops=("END",))
    assert "".join(run(pipeline, token_ids)) == "One. "
    assert pipeline.is_stopped


def test_stop_string_inside_one_token(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    token_ids = tokenizer.encode("<think>")
    assert len(token_ids) == 1
    assert run(build_pipeline(tokenizer, stops=("ink",)), token_ids) == ["<th", ""]


def test_stop_string_stays_if_asked(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    pipeline = build_pipeline(tokenizer, stops=("END",), includes_stop=True)
    assert "".join(run(pipeline, tokenizer.encode("One. END two"))) == "One. END"
    assert pipeline.is_stopped


def test_flush_shows_a_held_beginning_before_a_broken_character(load_kind: LoadKind) -> None:
    pipeline = build_pipeline(load_kind("sentencepiece"), stops=("EX",))
    assert run(pipeline, [1 + ord("E"), 1 + EURO_BYTES[0]]) == ["", "", "E\ufffd"]
    assert not pipeline.is_stopped


def test_broken_character_at_the_end_can_be_a_stop(load_kind: LoadKind) -> None:
    pipeline = build_pipeline(load_kind("sentencepiece"), stops=("\ufffd",))
    assert run(pipeline, [1 + ord("E"), 1 + EURO_BYTES[0]]) == ["E", "", ""]
    assert pipeline.is_stopped


@pytest.mark.parametrize(("continues_text", "text"), [(False, "hello"), (True, " hello")])
def test_continued_text_keeps_its_space(load_kind: LoadKind, continues_text: bool, text: str) -> None:
    tokenizer = load_kind("sentencepiece")
    pipeline = build_pipeline(tokenizer, AnswerForm(continues_text=continues_text))
    assert "".join(run(pipeline, tokenizer.encode("hello"))) == text


@relaxed
@given(text=st.text("aeo \N{EURO SIGN}\N{LLAMA}", max_size=30), stop=st.text("aeo \N{EURO SIGN}", max_size=3))
def test_equals_the_whole_cut_at_the_stop(load_kind: LoadKind, text: str, stop: str) -> None:
    tokenizer = load_kind("byte_level")
    pipeline = build_pipeline(tokenizer, stops=(stop,) if stop else ())
    expected = text.partition(stop)[0] if stop else text
    assert "".join(run(pipeline, tokenizer.encode(text))) == expected
    assert pipeline.is_stopped == (bool(stop) and stop in text)


def test_an_echo_comes_first_and_is_not_searched_for_stops(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    pipeline = build_pipeline(
        tokenizer, AnswerForm(continues_text=True), stops=("END",), prefix_text="The END? "
    )
    assert "".join(run(pipeline, tokenizer.encode("No. END"))) == "The END? No. "


def test_an_echo_of_an_empty_answer(load_kind: LoadKind) -> None:
    assert run(build_pipeline(load_kind("byte_level"), prefix_text="Hello"), []) == ["Hello"]


def test_plain_answers_have_no_needless_stage(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    plain = build_pipeline(tokenizer, AnswerForm(tool_format=STANDARD_FORMAT, tool_use=tool_use(mode="none")))
    assert isinstance(plain, TextPipeline)
    assert (plain.has_tool_calls, plain.num_reasoning_tokens) == (False, 0)
    assert not isinstance(
        build_pipeline(tokenizer, AnswerForm(tool_format=STANDARD_FORMAT, tool_use=tool_use())), TextPipeline
    )


@relaxed
@given(
    text=st.text("aEND \N{EURO SIGN}\n", max_size=30),
    cuts=st.sets(st.integers(0, 30)),
    includes_stop=st.booleans(),
)
def test_logprobs_are_those_of_the_shown_text(
    load_kind: LoadKind, text: str, cuts: set[int], includes_stop: bool
) -> None:
    tokenizer = load_kind("byte_level")
    token_ids = encode_cut(tokenizer, text, cuts)
    pipeline = build_pipeline(tokenizer, stops=("END",), includes_stop=includes_stop)
    answer = joined(stream(pipeline, token_ids, has_logprobs=True))
    raws = [logprob.raw for logprob in answer.logprobs]
    assert [logprob.logprob for logprob in answer.logprobs] == [-float(i) for i in range(len(raws))]
    shown = answer.content.encode()
    assert b"".join(raws).startswith(shown)
    assert len(b"".join(raws[:-1])) < len(shown) or not raws  # and none that begins behind the cut
    if not pipeline.is_stopped:
        assert len(raws) == len(token_ids)


def test_logprobs_wait_for_their_text(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    token_ids = [i for char in "aENx" for i in tokenizer.encode(char)]
    pieces = stream(build_pipeline(tokenizer, stops=("END",)), token_ids, has_logprobs=True)
    assert [(piece.content, len(piece.logprobs)) for piece in pieces] == [
        ("a", 1),
        ("", 0),
        ("", 0),
        ("ENx", 3),
        ("", 0),
    ]


def test_parts_of_a_character_come_with_it(load_kind: LoadKind) -> None:
    token_ids = [1 + byte for byte in EURO_BYTES]
    pieces = stream(build_pipeline(load_kind("sentencepiece")), token_ids, has_logprobs=True)
    assert [len(piece.logprobs) for piece in pieces] == [0, 0, 3, 0]
    assert [logprob.raw for logprob in pieces[2].logprobs] == [bytes([byte]) for byte in EURO_BYTES]


def test_a_broken_character_loses_no_logprobs(load_kind: LoadKind) -> None:
    pipeline = build_pipeline(load_kind("sentencepiece"))
    pieces = stream(pipeline, [1 + EURO_BYTES[0]], has_logprobs=True)
    assert [(piece.content, len(piece.logprobs)) for piece in pieces] == [("", 0), ("\ufffd", 1)]


@pytest.mark.parametrize("has_reasoning", [False, True])
def test_special_tokens_are_no_text_but_have_logprobs(
    load_with: Callable[..., Tokenizer], has_reasoning: bool
) -> None:
    tokenizer = load_with(tokens=("<think>", "</think>"))
    reasoning = find_reasoning_format(tokenizer) if has_reasoning else None
    pipeline = build_pipeline(tokenizer, AnswerForm(reasoning=reasoning))
    token_ids = tokenizer.encode("a<|user|>")
    answer = joined(stream(pipeline, token_ids, has_logprobs=True))
    assert answer.content == "a"
    assert [logprob.text for logprob in answer.logprobs] == ["a", "<|user|>"]


def test_the_likeliest_tokens_come_along(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    a, b = tokenizer.encode("a") + tokenizer.encode("b")
    sampled = SampledLogprobs(-0.5, ((a, -0.5), (b, -1.0)))
    (logprob,) = build_pipeline(tokenizer).feed(a, sampled).logprobs
    assert (logprob.text, logprob.logprob) == ("a", -0.5)
    assert [(each.text, each.raw, each.logprob) for each in logprob.top] == [
        ("a", b"a", -0.5),
        ("b", b"b", -1.0),
    ]


FORMS = {"text": False, "sections": True}


@pytest.mark.parametrize("has_reasoning", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    ("stop", "text", "content", "num_logprobs"),
    [
        ("<|user|>", "Hi<|user|>you", "Hi", 2),
        ("\n<|user|>you", "Hi\n<|user|>you", "Hi", 2),
        ("i<|user|>", "Hi<|user|>you", "H", 1),
        ("<|user|>me", "Hi<|user|>you", "Hiyou", None),
        ("<|user|>me", "Hi\n<|user|>", "Hi\n", None),
        ("user", "Hi<|user|>you", "Hiyou", None),
        ("<|user|>", "<|user|>", "", 0),
    ],
)
def test_a_special_token_may_be_a_stop(
    load_with: Callable[..., Tokenizer],
    has_reasoning: bool,
    stop: str,
    text: str,
    content: str,
    num_logprobs: int | None,
) -> None:
    tokenizer = load_with(tokens=("<think>", "</think>"))
    reasoning = find_reasoning_format(tokenizer) if has_reasoning else None
    token_ids = [i for char in text.partition("<")[0] for i in tokenizer.encode(char)]
    token_ids += tokenizer.encode(text[text.index("<") :])
    pipeline = build_pipeline(tokenizer, AnswerForm(reasoning=reasoning), stops=(stop,))
    answer = joined(stream(pipeline, token_ids, has_logprobs=True))
    assert (answer.content, pipeline.is_stopped) == (content, num_logprobs is not None)
    assert len(answer.logprobs) == (len(token_ids) if num_logprobs is None else num_logprobs)


def test_a_stop_that_stays_shows_the_special_token(load_with: Callable[..., Tokenizer]) -> None:
    tokenizer = load_with(tokens=())
    pipeline = build_pipeline(tokenizer, stops=("<|user|>",), includes_stop=True)
    answer = joined(stream(pipeline, tokenizer.encode("a<|system|>b<|user|>c"), has_logprobs=True))
    assert answer.content == "ab<|user|>"
    assert [logprob.text for logprob in answer.logprobs] == ["a", "<|system|>", "b", "<|user|>"]


def test_a_special_token_that_stops_comes_through_before_calls(load_with: Callable[..., Tokenizer]) -> None:
    tokenizer = load_with(tokens=())
    form = AnswerForm(tool_format=STANDARD_FORMAT, tool_use=tool_use())
    pipeline = build_pipeline(tokenizer, form, stops=("\n<|user|>",))
    pieces = [pipeline.feed(token_id) for token_id in tokenizer.encode("a \n<|user|>")]
    assert pipeline.is_stopped and joined(pieces).content == "a "
