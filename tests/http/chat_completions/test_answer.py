from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from api.errors import ServerSideError
from api.events import (
    Accepted,
    ChoiceFinished,
    Failed,
    Finished,
    OutputDelta,
    OutputPiece,
    TextEvent,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from api.http.chat_completions.answer import ChatCollector, ChunkWriter
from api.http.fields.answer_outline import AnswerOutline
from api.types import FinishReason

USAGE = Usage(7, 3, 2, 1, 5, 6)
HALF = TokenLogprob("\ufffd", b"\xe2\x9c", -0.5, (TokenLogprob("a", b"a", -1.5),))
CALL = (
    OutputPiece(tool_calls=(ToolCallDelta(0, call_id="call_1", name="f"),)),
    OutputPiece(tool_calls=(ToolCallDelta(0, '{"a"'),)),
    OutputPiece(tool_calls=(ToolCallDelta(0, ": 1}"),)),
)
SECOND_CALL = OutputPiece(tool_calls=(ToolCallDelta(1, "{}", "call_2", "g"),))


def outline(**fields: Any) -> AnswerOutline:
    return AnswerOutline("chatcmpl-1", "model", 1700000000, "fp_1", **fields)


def events(
    *pieces: OutputPiece, reason: FinishReason = FinishReason.STOP, num_choices: int = 1
) -> list[TextEvent]:
    deltas = [OutputDelta("r", index, piece) for piece in pieces for index in range(num_choices)]
    ends = [ChoiceFinished("r", index, reason) for index in range(num_choices)]
    return [Accepted("r", 7), *deltas, *ends, Finished("r", reason, USAGE)]


def chunks(all_events: list[TextEvent], **fields: Any) -> list[dict[str, Any]]:
    writer = ChunkWriter(outline(**fields))
    found = [chunk for event in all_events for chunk in writer.feed(event)]
    for chunk in found:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    return found


def deltas(*pieces: OutputPiece, reason: FinishReason = FinishReason.STOP, **fields: Any) -> list[Any]:
    """Those between the role and the end."""
    found = chunks(events(*pieces, reason=reason), **fields)
    return [chunk["choices"][0]["delta"] for chunk in found[1:-1]]


def whole(all_events: list[TextEvent], **fields: Any) -> dict[str, Any]:
    collector = ChatCollector(outline(**fields))
    for event in all_events:
        collector.feed(event)
    answer = collector.answer(USAGE)
    ChatCompletion.model_validate(answer, strict=True)
    return dict(answer)


def message(*pieces: OutputPiece, **fields: Any) -> dict[str, Any]:
    return dict(whole(events(*pieces), **fields)["choices"][0]["message"])


def test_a_stream_is_role_then_content_then_finish() -> None:
    found = chunks(events(OutputPiece("Hi")))
    assert [chunk["choices"][0]["delta"] for chunk in found] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Hi"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in found] == [None, None, "stop"]
    assert not any("usage" in chunk for chunk in found)
    assert len({(chunk["id"], chunk["created"], chunk["system_fingerprint"]) for chunk in found}) == 1


def test_usage_comes_last_and_is_null_before() -> None:
    *before, last = chunks(events(OutputPiece("Hi")), includes_usage=True)
    assert [chunk["usage"] for chunk in before] == [None, None, None]
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {
            "reasoning_tokens": 1,
            "accepted_prediction_tokens": 5,
            "rejected_prediction_tokens": 6,
        },
    }


def test_each_choice_has_one_role_and_one_end() -> None:
    found = chunks(events(OutputPiece("Hi"), num_choices=2), num_choices=2)
    roles = [c["choices"][0]["index"] for c in found if "role" in c["choices"][0]["delta"]]
    ends = [c["choices"][0]["index"] for c in found if c["choices"][0]["finish_reason"]]
    assert (roles, ends) == ([0, 1], [0, 1])


def test_reasoning_goes_by_both_names_and_precedes_content() -> None:
    piece = OutputPiece(content="4", reasoning="2+2")
    assert deltas(piece) == [{"reasoning_content": "2+2", "reasoning": "2+2"}, {"content": "4"}]
    both = message(piece)
    assert (both["reasoning_content"], both["reasoning"], both["content"]) == ("2+2", "2+2", "4")
    assert "reasoning" not in message(OutputPiece("4"))


def test_calls_stream_as_deltas() -> None:
    found = deltas(*CALL, SECOND_CALL, reason=FinishReason.TOOL_CALLS)
    first = {"index": 0, "function": {"name": "f", "arguments": ""}, "id": "call_1", "type": "function"}
    assert found[0] == {"tool_calls": [first]}
    assert found[1] == {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}
    assert found[3]["tool_calls"][0]["index"] == 1


def test_a_chunk_has_at_most_one_piece_of_each_call() -> None:
    first, second = CALL[0].tool_calls[0], SECOND_CALL.tool_calls[0]
    (found,) = deltas(
        OutputPiece(tool_calls=(first, ToolCallDelta(0, '{"a"'), second, ToolCallDelta(0, ": 1}")))
    )
    assert [(call["index"], call["function"]) for call in found["tool_calls"]] == [
        (0, {"name": "f", "arguments": '{"a": 1}'}),
        (1, {"name": "g", "arguments": "{}"}),
    ]


def test_calls_of_a_whole_answer() -> None:
    answer = whole(events(*CALL, SECOND_CALL, reason=FinishReason.TOOL_CALLS))
    [choice] = answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
            {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }
    assert message(OutputPiece("Well: "), *CALL)["content"] == "Well: "


def test_functions_are_answered_in_the_older_form() -> None:
    found = chunks(events(*CALL, reason=FinishReason.TOOL_CALLS), uses_functions=True)
    calls = [chunk["choices"][0]["delta"].get("function_call") for chunk in found]
    assert calls == [None, {"name": "f", "arguments": ""}, {"arguments": '{"a"'}, {"arguments": ": 1}"}, None]
    assert found[-1]["choices"][0]["finish_reason"] == "function_call"
    answer = whole(events(*CALL, reason=FinishReason.TOOL_CALLS), uses_functions=True)
    assert answer["choices"][0]["message"]["function_call"] == {"name": "f", "arguments": '{"a": 1}'}
    assert answer["choices"][0]["finish_reason"] == "function_call"
    assert "tool_calls" not in answer["choices"][0]["message"]


def test_a_whole_answer_without_calls_does_not_speak_of_them() -> None:
    assert message(OutputPiece("Hi")) == {"role": "assistant", "content": "Hi", "refusal": None}
    assert message() == {"role": "assistant", "content": "", "refusal": None}


def test_each_choice_has_its_own_text_and_reason() -> None:
    answer = whole(
        [
            OutputDelta("r", 1, OutputPiece("b")),
            OutputDelta("r", 0, OutputPiece("a")),
            ChoiceFinished("r", 1, FinishReason.LENGTH),
            ChoiceFinished("r", 0, FinishReason.STOP),
        ],
        num_choices=2,
    )
    found = [(c["index"], c["message"]["content"], c["finish_reason"]) for c in answer["choices"]]
    assert found == [(0, "a", "stop"), (1, "b", "length")]


def test_logprobs_name_bytes_of_parts_of_characters() -> None:
    expected = {
        "content": [
            {
                "token": "\ufffd",
                "logprob": -0.5,
                "bytes": [0xE2, 0x9C],
                "top_logprobs": [{"token": "a", "logprob": -1.5, "bytes": [97]}],
            }
        ],
        "refusal": None,
    }
    piece = OutputPiece("✓", logprobs=(HALF,))
    assert chunks(events(piece))[1]["choices"][0]["logprobs"] == expected
    assert whole(events(piece), includes_logprobs=True)["choices"][0]["logprobs"] == expected


@pytest.mark.parametrize(("wanted", "expected"), [(True, {"content": [], "refusal": None}), (False, None)])
def test_logprobs_are_null_unless_wanted(wanted: bool, expected: object) -> None:
    assert whole(events(*CALL), includes_logprobs=wanted)["choices"][0]["logprobs"] == expected


def test_logprobs_without_text_are_not_lost() -> None:
    [chunk] = chunks(events(OutputPiece(logprobs=(HALF,))))[1:-1]
    assert chunk["choices"][0]["delta"] == {"content": ""}
    assert len(chunk["choices"][0]["logprobs"]["content"]) == 1


def test_a_failure_is_an_error_object() -> None:
    [payload] = ChunkWriter(outline()).feed(Failed("r", ServerSideError("broken")))
    assert payload == {
        "error": {"message": "broken", "type": "server_error", "param": None, "code": "internal_error"}
    }
