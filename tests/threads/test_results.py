from __future__ import annotations

from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from api.errors import ContextLengthError, InvalidRequestError, ServerSideError
from api.events import (
    Accepted,
    ChoiceFinished,
    Failed,
    Finished,
    Opened,
    OutputDelta,
    OutputPiece,
    Rejected,
    StepOutputs,
    TextEvent,
    Usage,
)
from api.observability.metrics import Metrics
from api.step_plan import NOTHING_PREDICTED, PredictedTokens, SampledLogprobs, StepOutput
from api.threads.results import ResultsThread
from api.types import Cancel, FinishReason
from tests.threads.fakes import EOS, FakePipeline


class Stage:
    """The thread's body, run to its end in the test's own thread."""

    def __init__(self) -> None:
        self.results: SimpleQueue[Any] = SimpleQueue()
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.batches: list[list[TextEvent]] = []
        self.metrics = Metrics()
        self.thread = ResultsThread(self.results, self.inbox, self.batches.append, self.metrics)

    def run(self, *messages: Any) -> list[TextEvent]:
        for message in (*messages, None):
            self.results.put(message)
        self.thread.run()
        assert all(self.batches)  # no empty wake-up
        return [event for batch in self.batches for event in batch]

    def to_batch(self) -> list[Any]:
        return [self.inbox.get() for _ in range(self.inbox.qsize())]


def opened(
    request_id: str = "a", stop: tuple[str, ...] = (), num_choices: int = 1, num_prompts: int = 1
) -> Opened:
    pipelines = tuple(FakePipeline(stop) for _ in range(num_prompts * num_choices))
    return Opened(request_id, pipelines, num_choices, 3, 0.0, x_request_id=f"x-{request_id}")


def token(
    text: str,
    request_id: str = "a",
    reason: FinishReason | None = None,
    choice_index: int = 0,
    num_cached_tokens: int = 0,
    predicted: PredictedTokens = NOTHING_PREDICTED,
) -> StepOutput:
    return StepOutput(
        request_id,
        ord(text),
        text != chr(EOS),
        reason,
        choice_index=choice_index,
        num_cached_tokens=num_cached_tokens,
        predicted=predicted,
    )


def delta(text: str, request_id: str = "a", choice_index: int = 0) -> OutputDelta:
    return OutputDelta(request_id, choice_index, OutputPiece(text))


def finished(reason: FinishReason, usage: Usage) -> list[TextEvent]:
    """The end of a request with one choice."""
    return [ChoiceFinished("a", 0, reason), Finished("a", reason, usage)]


def steps(text: str) -> list[StepOutputs]:
    return [StepOutputs([token(character)]) for character in text]


def test_an_eos_token_counts_but_is_no_text() -> None:
    stage = Stage()
    events = stage.run(opened(), *steps("hi"), StepOutputs([token("!", reason=FinishReason.STOP)]))
    assert events[:3] == [Accepted("a", 3), delta("h"), delta("i")]
    assert events[3:] == finished(FinishReason.STOP, Usage(3, 3))
    assert len(stage.thread) == 0
    assert stage.to_batch() == []


def test_held_back_text_is_flushed_at_the_end() -> None:
    last = StepOutputs([token("N", reason=FinishReason.LENGTH)])
    events = Stage().run(opened(stop=("END",)), *steps("E"), last)
    assert events[1:] == [delta("EN"), *finished(FinishReason.LENGTH, Usage(3, 2))]


def test_a_stop_string_ends_the_request_and_the_rows_work() -> None:
    stage = Stage()
    events = stage.run(opened(stop=("END",)), *steps("xENDyz"))
    assert events[1:] == [delta("x"), *finished(FinishReason.STOP, Usage(3, 4))]
    assert stage.to_batch() == [Cancel("a", 0)]


def test_a_stop_string_in_the_last_token_needs_no_cancel() -> None:
    stage = Stage()
    last = StepOutputs([token("D", reason=FinishReason.LENGTH)])
    events = stage.run(opened(stop=("END",)), *steps("EN"), last)
    assert events[1:] == finished(FinishReason.STOP, Usage(3, 3))
    assert stage.to_batch() == []


def test_a_stop_string_that_only_the_flush_decides_is_the_reason() -> None:
    class LatePipeline(FakePipeline):
        def flush(self) -> OutputPiece:
            self.is_stopped = True
            return OutputPiece("cut")

    stage = Stage()
    message = Opened("a", (LatePipeline(("END",)),), 1, 3, arrival_seconds=0.0)
    events = stage.run(message, StepOutputs([token("E", reason=FinishReason.LENGTH)]))
    assert events[1:] == [delta("cut"), *finished(FinishReason.STOP, Usage(3, 1))]


def test_predicted_tokens_are_those_up_to_the_last_token_that_counts() -> None:
    """A stop string ends the answer before what the batch had sent already."""
    outputs = [token(each, predicted=PredictedTokens(i, 9 - i)) for i, each in enumerate("xENDyz", 1)]
    events = Stage().run(opened(stop=("END",)), StepOutputs(outputs))
    usage = Usage(3, 4, num_accepted_prediction_tokens=4, num_rejected_prediction_tokens=5)
    assert events[2:] == finished(FinishReason.STOP, usage)


def test_predicted_tokens_of_all_choices_count() -> None:
    outputs = [
        token("x", reason=FinishReason.LENGTH, choice_index=0, predicted=PredictedTokens(1, 4)),
        token("y", reason=FinishReason.LENGTH, choice_index=1, predicted=PredictedTokens(0, 5)),
    ]
    last = Stage().run(opened(num_choices=2), StepOutputs(outputs))[-1]
    assert isinstance(last, Finished)
    numbers = (last.usage.num_accepted_prediction_tokens, last.usage.num_rejected_prediction_tokens)
    assert numbers == (1, 9)


def test_all_events_of_a_message_go_together() -> None:
    stage = Stage()
    outputs = [token("x", "a"), token("y", "b"), token("z", "unknown")]
    stage.run(opened("a"), opened("b"), StepOutputs(outputs))
    assert stage.batches[-1] == [delta("x"), delta("y", "b")]


def test_late_outputs_are_dropped() -> None:
    late = StepOutputs([StepOutput("a", finish_reason=FinishReason.CANCELLED)])
    assert Stage().run(late, *steps("x")) == []


@pytest.mark.parametrize("is_opened", [True, False])
def test_a_cancel_ends_the_request_at_any_stage(is_opened: bool) -> None:
    stage = Stage()
    before = [opened(), *steps("xy")] if is_opened else []
    usage = Usage(3, 2) if is_opened else Usage(0, 0)
    events = stage.run(*before, Cancel("a"), *steps("z"))
    assert events[-1] == Finished("a", FinishReason.CANCELLED, usage)
    assert len(stage.thread) == 0


def test_the_batchs_own_cancelled_output_ends_without_flushing() -> None:
    cancelled = StepOutputs([StepOutput("a", finish_reason=FinishReason.CANCELLED)])
    events = Stage().run(opened(stop=("END",)), *steps("E"), cancelled)
    assert events[1:] == finished(FinishReason.CANCELLED, Usage(3, 1))


def test_rejected_and_failed_steps_become_failures() -> None:
    refused, broken = InvalidRequestError("bad"), ServerSideError("broken")
    events = Stage().run(Rejected("r", refused), opened(), StepOutputs([StepOutput("a", error=broken)]))
    assert events == [Failed("r", refused), Accepted("a", 3), Failed("a", broken)]


def test_only_what_the_client_got_wrong_is_logged_as_a_refusal() -> None:
    refused, broken = ContextLengthError("long"), ServerSideError("broken")
    with capture_logs() as lines:
        Stage().run(Rejected("r", refused), opened(), StepOutputs([StepOutput("a", error=broken)]))
    assert [(line["event"], line["request_id"]) for line in lines] == [
        ("request refused", "r"),
        ("request failed", "a"),
    ]


def test_a_broken_pipeline_fails_its_request_alone() -> None:
    stage = Stage()
    events = stage.run(opened("a"), opened("b"), StepOutputs([token("~", "a"), token("y", "b")]), *steps("x"))
    failed, other = events[2:]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ServerSideError)
    assert other == delta("y", "b")
    assert stage.to_batch() == [Cancel("a")]


def test_one_line_and_the_latencies_per_request() -> None:
    stage = Stage()
    with capture_logs() as lines:
        stage.run(opened(), *steps("ab"), StepOutputs([token("!", reason=FinishReason.STOP)]))
    (line,) = lines
    assert (line["log_level"], line["request_id"], line["finish_reason"]) == ("info", "a", "stop")
    assert (line["prompt_tokens"], line["completion_tokens"], line["cached_tokens"]) == (3, 3, 0)
    assert line["ttft_seconds"] > 0
    snapshot = stage.metrics.snapshot()
    assert snapshot["time_to_first_token_seconds"]["count"] == 1
    assert snapshot["inter_token_seconds"]["count"] == 2


def test_choices_end_one_by_one_and_the_request_with_the_last() -> None:
    stage = Stage()
    both = StepOutputs([token("x", choice_index=1), token("E", choice_index=0)])
    end = StepOutputs([token("!", reason=FinishReason.STOP, choice_index=1), token("N", choice_index=0)])
    last = StepOutputs([token("D", choice_index=0)])
    events = stage.run(opened(stop=("END",), num_choices=2), both, end, last)
    assert events[1:] == [
        delta("x", choice_index=1),
        ChoiceFinished("a", 1, FinishReason.STOP),
        ChoiceFinished("a", 0, FinishReason.STOP),
        Finished("a", FinishReason.STOP, Usage(3, 5)),
    ]
    assert stage.to_batch() == [Cancel("a", 0)]


def test_each_prompts_cached_tokens_are_those_of_the_choice_that_read_it() -> None:
    """Two prompts of two choices: the second choice read the first prompt, the first one the second."""
    numbers = (0, 2, 1, 0)
    outputs = [
        token("!", reason=FinishReason.STOP, choice_index=index, num_cached_tokens=number)
        for index, number in enumerate(numbers)
    ]
    with capture_logs() as lines:
        events = Stage().run(opened(num_choices=2, num_prompts=2), StepOutputs(outputs))
    assert events[-1] == Finished("a", FinishReason.STOP, Usage(3, 4, num_cached_tokens=2 + 1))
    assert lines[-1]["cached_tokens"] == 3


def test_cached_tokens_are_known_also_of_an_answer_that_is_cut_short() -> None:
    first = StepOutputs([token("x", num_cached_tokens=2)])
    events = Stage().run(opened(), first, Cancel("a"))
    assert events[-1] == Finished("a", FinishReason.CANCELLED, Usage(3, 1, num_cached_tokens=2))


def test_a_choice_that_breaks_ends_its_request_and_the_other_choices_work() -> None:
    stage = Stage()
    broken = StepOutput("a", error=ServerSideError("broken"), choice_index=1)
    events = stage.run(opened(num_choices=2), StepOutputs([broken]), StepOutputs([token("x")]))
    assert events[1:] == [Failed("a", broken.error)]
    assert stage.to_batch() == [Cancel("a")]


def test_an_answer_with_calls_ends_for_them() -> None:
    class CallingPipeline(FakePipeline):
        def flush(self) -> OutputPiece:
            self.has_tool_calls = True
            self.num_reasoning_tokens = 1
            return OutputPiece("held")

    def run(reason: FinishReason) -> list[TextEvent]:
        message = Opened("a", (CallingPipeline(),), 1, 3, arrival_seconds=0.0)
        return Stage().run(message, StepOutputs([token("x", reason=reason)]))[3:]

    assert run(FinishReason.STOP) == finished(FinishReason.TOOL_CALLS, Usage(3, 1, 0, 1))
    assert run(FinishReason.LENGTH) == finished(FinishReason.LENGTH, Usage(3, 1, 0, 1))


def test_each_line_of_a_request_has_the_name_that_its_client_knows() -> None:
    refused, broken = InvalidRequestError("no"), ServerSideError("broken")
    messages = [opened("a"), opened("b"), opened("c")]
    ends = [StepOutput("b", error=broken), token("!", "a", FinishReason.STOP)]
    merge = structlog.contextvars.merge_contextvars
    with capture_logs(processors=(merge,)) as lines:
        Stage().run(*messages, StepOutputs(ends), Cancel("c"), Rejected("d", refused, "x-d"))
    names = [(line["event"], line["request_id"], line["x_request_id"]) for line in lines]
    assert names == [
        ("request failed", "b", "x-b"),
        ("request finished", "a", "x-a"),
        ("request finished", "c", "x-c"),
        ("request refused", "d", "x-d"),
    ]


class PromptPipelineFake(FakePipeline):
    """Shows how much of the prompt it was told, and the token that ended the answer."""

    def feed_prompt(self, logprobs: Any) -> OutputPiece:
        return OutputPiece(f"<{len(logprobs)}>")

    def feed_end(self, token_id: int, logprobs: SampledLogprobs) -> OutputPiece:
        return OutputPiece(f"[{chr(token_id)}]")


def scored(count: int) -> StepOutput:
    return StepOutput("a", prompt_logprobs=(SampledLogprobs(-1.0),) * count)


def ended(reason: FinishReason, token_id: int | None = EOS) -> StepOutput:
    logprobs = None if token_id is None else SampledLogprobs(-1.0)
    return StepOutput("a", token_id, is_text=token_id is None, finish_reason=reason, logprobs=logprobs)


def test_a_prompts_logprobs_come_first_and_count_as_no_tokens() -> None:
    opening = Opened("a", (PromptPipelineFake(),), 1, 3, arrival_seconds=0.0)
    outputs = StepOutputs([scored(2), token("h"), ended(FinishReason.STOP)])
    events = Stage().run(opening, StepOutputs([scored(4)]), outputs)
    assert events == [
        Accepted("a", 3),
        delta("<4>"),
        delta("<2>"),
        delta("h"),
        delta("[!]"),
        *finished(FinishReason.STOP, Usage(3, 2)),
    ]


def test_an_answer_of_no_tokens_is_no_first_token() -> None:
    stage = Stage()
    opening = Opened("a", (PromptPipelineFake(),), 1, 3, arrival_seconds=0.0)
    events = stage.run(opening, StepOutputs([scored(2), ended(FinishReason.LENGTH, None)]))
    assert events == [Accepted("a", 3), delta("<2>"), *finished(FinishReason.LENGTH, Usage(3, 0))]


def test_a_stop_string_hides_the_end_behind_it() -> None:
    opening = Opened("a", (PromptPipelineFake(("h",)),), 1, 3, arrival_seconds=0.0)
    events = Stage().run(opening, StepOutputs([token("h"), ended(FinishReason.STOP)]))
    assert delta("[!]") not in events


def test_the_way_of_a_request_is_timed() -> None:
    stage = Stage()
    first = replace(token("a"), admitted_seconds=0.25)
    stage.run(
        opened(), StepOutputs([first]), *steps("b"), StepOutputs([token("!", reason=FinishReason.STOP)])
    )
    snapshot = stage.metrics.snapshot()
    assert (snapshot["queue_seconds"]["count"], snapshot["queue_seconds"]["max"]) == (1, 0.25)
    assert snapshot["end_to_end_seconds"]["count"] == 1
    assert snapshot["end_to_end_seconds"]["max"] >= snapshot["time_to_first_token_seconds"]["max"] > 0
    assert snapshot["tokens"]["accepted_prompt_total"] == 3


def test_who_was_cancelled_or_failed_has_no_time_to_the_end() -> None:
    stage = Stage()
    broken = StepOutput("b", error=ServerSideError("broken"))
    stage.run(opened("a"), opened("b"), StepOutputs([broken]), Cancel("a"))
    assert stage.metrics.snapshot()["end_to_end_seconds"]["count"] == 0
