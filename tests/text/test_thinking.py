from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.text.answer_form import AnswerForm
from api.text.output_pipeline import build_pipeline
from api.text.reasoning import ReasoningFormat, find_reasoning_format
from api.text.thinking import AnswerThinking, AnswerThinkingTracker, ThinkingMarkers
from api.text.tokenizer import Tokenizer
from api.text.tool_calls.formats import STANDARD_FORMAT
from tests.text.streams import encode_cut, joined, stream, tool_use
from tests.text.templates import HARMONY, HARMONY_TOKENS

LoadWith = Callable[..., Tokenizer]
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MARKERS = ("<think>", "</think>")
SPELLED = ReasoningFormat(*MARKERS)
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "<think>"}}</tool_call>'


def form_of(tokenizer: Tokenizer, **fields: bool) -> AnswerForm:
    reasoning = find_reasoning_format(tokenizer)
    form = AnswerForm(reasoning=reasoning, tool_format=STANDARD_FORMAT, tool_use=tool_use())
    return replace(form, **fields)  # type: ignore[arg-type]


def tracker_of(tokenizer: Tokenizer, form: AnswerForm) -> AnswerThinkingTracker:
    assert form.reasoning is not None
    markers = ThinkingMarkers(tokenizer, form.reasoning)
    return AnswerThinking(markers, form, lambda text: tokenizer.encode(text.decode())).new_tracker()


def inside_after_each(tracker: AnswerThinkingTracker, token_ids: Sequence[int]) -> list[bool]:
    found = []
    for token_id in token_ids:
        tracker.feed(token_id)
        found.append(tracker.is_inside)
    return found


def test_a_marker_inside_of_a_calls_argument_opens_nothing(load_with: LoadWith) -> None:
    tokenizer = load_with(tokens=MARKERS)
    tracker = tracker_of(tokenizer, form_of(tokenizer))
    assert not any(inside_after_each(tracker, tokenizer.encode(CALL)))
    assert inside_after_each(tracker, tokenizer.encode("<think>")) == [True]


def test_messages_with_headers(load_with: LoadWith) -> None:
    harmony = load_with(HARMONY, special_tokens=HARMONY_TOKENS)
    tracker = tracker_of(harmony, form_of(harmony))
    text = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>analysis"
    inside = inside_after_each(tracker, harmony.encode(text))
    begin, end = len(harmony.encode("<|channel|>analysis<|message|>")), len(harmony.encode("Hm."))
    assert inside.index(True) == begin - 1 and sum(inside) == end + 1
    assert tracker.closing_token_ids[0] == harmony.encode("<|end|>")[0]


@pytest.mark.parametrize("is_structured", [False, True])
def test_only_a_grammars_answer_opens_at_its_start_alone(load_with: LoadWith, is_structured: bool) -> None:
    tokenizer = load_with(tokens=MARKERS)
    form = form_of(tokenizer, is_structured=is_structured)
    assert tracker_of(tokenizer, form).is_opening is is_structured
    late = tracker_of(tokenizer, form)
    inside_after_each(late, tokenizer.encode("a<think>b"))
    assert late.is_inside is not is_structured and not late.is_opening


def test_the_rest_behind_the_marker_loses_its_blank_lines(load_with: LoadWith) -> None:
    tokenizer = load_with(tokens=(*MARKERS, ">\n\n", ">\n {", "></"))
    for last, rest in ((">\n\n", ""), (">\n {", " {"), ("></", "</")):
        tracker = tracker_of(tokenizer, form_of(tokenizer, is_structured=True, starts_in_reasoning=True))
        for part in ("Hm.<", "/think", last):
            inside_after_each(tracker, tokenizer.encode(part))
        assert not tracker.is_inside
        assert tracker.rest_token_ids == tuple(tokenizer.encode(rest))


@relaxed
@given(
    parts=st.lists(st.sampled_from([*MARKERS, CALL, "a", "\n", "<", "think>", "\N{EURO SIGN}"]), max_size=7),
    cuts=st.sets(st.integers(0, 90)),
    is_structured=st.booleans(),
    starts_in_reasoning=st.booleans(),
)
def test_the_tracker_is_inside_where_the_pipeline_writes_reasoning(
    load_with: LoadWith, parts: list[str], cuts: set[int], is_structured: bool, starts_in_reasoning: bool
) -> None:
    tokenizer = load_with(tokens=("> ", ".<", "think>"))
    assert len(tokenizer.encode("</think>")) > 1
    form = AnswerForm(
        reasoning=SPELLED,
        tool_format=STANDARD_FORMAT,
        tool_use=tool_use(),
        starts_in_reasoning=starts_in_reasoning,
        is_structured=is_structured,
    )
    token_ids = encode_cut(tokenizer, "".join(parts) + "!", cuts)
    tracker = tracker_of(tokenizer, form)
    inside_after_each(tracker, token_ids)
    answer = joined(stream(build_pipeline(tokenizer, form), token_ids))
    assert answer.reasoning.endswith("!") is tracker.is_inside
    assert answer.content.endswith("!") is not tracker.is_inside
