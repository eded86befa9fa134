from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion

from api.errors import ServerSideError
from api.events import (
    Accepted,
    ChoiceFinished,
    Failed,
    Finished,
    OutputDelta,
    OutputPiece,
    PromptTokens,
    TextEvent,
    TokenLogprob,
    Usage,
)
from api.http.completions.answer import LogprobColumns, TextCollector, TextWriter
from api.http.fields.answer_outline import AnswerOutline
from api.types import FinishReason

USAGE = Usage(7, 3)


def outline(**fields: Any) -> AnswerOutline:
    return AnswerOutline("cmpl-1", "model", 1700000000, "fp_1", **fields)


def token(raw: bytes, logprob: float = -1.0, *top: TokenLogprob) -> TokenLogprob:
    return TokenLogprob(raw.decode("utf-8", "replace"), raw, logprob, top)


EVENTS: list[TextEvent] = [
    Accepted("r", 7),
    OutputDelta("r", 1, OutputPiece("b", logprobs=(token(b"b"),))),
    OutputDelta("r", 0, OutputPiece("aa", logprobs=(token(b"aa"),))),
    OutputDelta("r", 0, OutputPiece("c", logprobs=(token(b"c"),))),
    ChoiceFinished("r", 1, FinishReason.LENGTH),
    ChoiceFinished("r", 0, FinishReason.STOP),
    Finished("r", FinishReason.STOP, USAGE),
]


def chunks(**fields: Any) -> list[dict[str, Any]]:
    writer = TextWriter(outline(num_choices=2, **fields))
    return [chunk for event in EVENTS for chunk in writer.feed(event)]


def whole(**fields: Any) -> dict[str, Any]:
    collector = TextCollector(outline(num_choices=2, **fields))
    for event in EVENTS:
        collector.feed(event)
    answer = collector.answer(USAGE)
    Completion.model_validate(answer, strict=True)
    return dict(answer)


def test_a_whole_answer() -> None:
    answer = whole()
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [
        {"index": 0, "text": "aac", "logprobs": None, "finish_reason": "stop"},
        {"index": 1, "text": "b", "logprobs": None, "finish_reason": "length"},
    ]
    assert answer["usage"]["total_tokens"] == 10


def test_a_stream() -> None:
    found = chunks()
    assert [(c["choices"][0]["index"], c["choices"][0]["text"]) for c in found] == [
        (1, "b"),
        (0, "aa"),
        (0, "c"),
        (1, ""),
        (0, ""),
    ]
    assert [c["choices"][0]["finish_reason"] for c in found] == [None, None, None, "length", "stop"]
    assert not any("usage" in chunk for chunk in found)


def test_usage_comes_last_and_is_null_before() -> None:
    *before, last = chunks(includes_usage=True)
    assert {chunk["usage"] for chunk in before} == {None}
    assert (last["choices"], last["usage"]["prompt_tokens"]) == ([], 7)


def test_offsets_run_through_each_choice() -> None:
    offsets = [c["choices"][0]["logprobs"]["text_offset"] for c in chunks()[:3]]
    assert offsets == [[0], [0], [2]]
    assert whole(includes_logprobs=True)["choices"][0]["logprobs"]["text_offset"] == [0, 2]


def test_columns() -> None:
    tokens = (
        token(b"a", -0.5, token(b"a", -0.5), token(b"b", -1.5)),
        token(b"z", -9.0, token(b"a", -0.1)),
    )
    assert LogprobColumns().convert([OutputPiece(logprobs=tokens)]) == {
        "tokens": ["a", "z"],
        "token_logprobs": [-0.5, -9.0],
        "top_logprobs": [{"a": -0.5, "b": -1.5}, {"a": -0.1, "z": -9.0}],
        "text_offset": [0, 1],
    }


def test_a_prompt_has_its_columns_before_the_answer() -> None:
    top = (token(b"x", -0.1), token(b"y", -0.2))
    start = replace(token(b"<s>"), adds_text=False)
    pieces = [
        OutputPiece("Hi th", prompt=PromptTokens((start, token(b"Hi", -1.5, *top)), has_first=True)),
        OutputPiece(prompt=PromptTokens((token(b" th", -2.5, *top),))),
        OutputPiece("ere", logprobs=(token(b"ere", -3.5, token(b"ere", -3.5)),)),
        OutputPiece(logprobs=(replace(token(b"</s>", -4.5), adds_text=False),)),
    ]
    assert LogprobColumns(num_echo_logprobs=1).convert(pieces) == {
        "tokens": ["<s>", "Hi", " th", "ere", "</s>"],
        "token_logprobs": [None, -1.5, -2.5, -3.5, -4.5],
        "top_logprobs": [
            None,
            {"x": -0.1, "Hi": -1.5},
            {"x": -0.1, " th": -2.5},
            {"ere": -3.5},
            {"</s>": -4.5},
        ],
        "text_offset": [0, 0, 2, 5, 8],
    }
    assert LogprobColumns().convert(pieces)["tokens"] == ["ere", "</s>"]


def test_a_prompt_in_a_field_of_its_own() -> None:
    first = replace(token(b"A"), token_id=5)
    second = replace(token(b"B", -1.5, replace(token(b"C", -0.5), token_id=7, rank=1)), token_id=6, rank=3)
    piece = OutputPiece(prompt=PromptTokens((first, second), has_first=True))
    collector = TextCollector(outline(num_prompt_logprobs=1))
    collector.feed(OutputDelta("r", 0, piece))
    (choice,) = collector.answer(USAGE)["choices"]
    assert choice["prompt_logprobs"] == [
        None,
        {
            "7": {"logprob": -0.5, "rank": 1, "decoded_token": "C"},
            "6": {"logprob": -1.5, "rank": 3, "decoded_token": "B"},
        },
    ]
    assert choice["logprobs"] is None


def test_parts_of_a_character_keep_apart() -> None:
    first, second, last = (token(bytes([byte])) for byte in "✓".encode())
    columns = LogprobColumns().convert([OutputPiece(logprobs=(first, second, last, token(b"!")))])
    assert columns["tokens"] == ["bytes:\\xe2", "bytes:\\x9c", "bytes:\\x93", "!"]
    assert columns["text_offset"] == [0, 0, 0, 1]


@given(st.text(max_size=20), st.data())
def test_offsets_count_characters_however_the_text_is_cut(text: str, data: st.DataObject) -> None:
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    tokens = tuple(token(piece) for piece in pieces)
    offsets = LogprobColumns().convert([OutputPiece(logprobs=tokens)])["text_offset"]
    for offset, start in zip(offsets, [0, *cuts], strict=True):
        assert offset == len(raw[:start].decode("utf-8", "ignore"))


def test_a_failure_is_an_error_object() -> None:
    [payload] = TextWriter(outline()).feed(Failed("r", ServerSideError("broken")))
    assert payload["error"]["code"] == "internal_error"
