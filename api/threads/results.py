"""The results thread: tokens become text events."""

from __future__ import annotations

import time
from dataclasses import dataclass

from api.errors import ApiError, InvalidRequestError
from api.events import (
    Accepted,
    ChoiceFinished,
    Failed,
    Finished,
    Opened,
    OutputDelta,
    OutputPiece,
    OutputPipeline,
    ReadsPrompt,
    Rejected,
    ResultMessage,
    StepOutputs,
    TextEvent,
    Usage,
)
from api.observability.metrics import Metrics
from api.observability.request_log import RequestTiming, log_failed, log_finished, log_refused, logged_as
from api.step_plan import NOTHING_PREDICTED, PredictedTokens, StepOutput
from api.threads.contracts import Deliver, Inbox, ResultQueue
from api.threads.failures import client_error
from api.threads.worker import Heartbeat
from api.types import Cancel, FinishReason


@dataclass(slots=True)
class _Choice:
    """One choice's output side."""

    pipeline: OutputPipeline
    timing: RequestTiming
    num_cached_tokens: int = 0
    predicted: PredictedTokens = NOTHING_PREDICTED


@dataclass(slots=True)
class _Answer:
    """One request's output side."""

    choices: tuple[_Choice, ...]
    num_choices: int  # for each prompt
    num_prompt_tokens: int
    open_choices: set[int]  # indices of those that go on
    x_request_id: str

    @property
    def usage(self) -> Usage:
        return Usage(
            num_prompt_tokens=self.num_prompt_tokens,
            num_completion_tokens=sum(choice.timing.num_tokens for choice in self.choices),
            num_cached_tokens=self._num_cached_tokens,
            num_reasoning_tokens=sum(choice.pipeline.num_reasoning_tokens for choice in self.choices),
            num_accepted_prediction_tokens=sum(choice.predicted.num_accepted for choice in self.choices),
            num_rejected_prediction_tokens=sum(choice.predicted.num_rejected for choice in self.choices),
        )

    @property
    def _num_cached_tokens(self) -> int:
        """A prompt is prefilled by one of its choices, in whose place the others find it."""
        cached = [choice.num_cached_tokens for choice in self.choices]
        firsts = range(0, len(cached), self.num_choices)
        return sum(max(cached[first : first + self.num_choices]) for first in firsts)


class ResultsThread:
    """Owns every request's pipeline, counts and clock, from ``Opened`` to the terminal event."""

    def __init__(self, results: ResultQueue, inbox: Inbox, deliver: Deliver, metrics: Metrics) -> None:
        self._results = results
        self._inbox = inbox
        self._deliver = deliver
        self._metrics = metrics
        self._answers: dict[str, _Answer] = {}
        self.heartbeat = Heartbeat("results")

    def run(self) -> None:
        while (message := self._results.get()) is not None:
            self.heartbeat.beat()
            events = self._handle(message)
            if events:
                self._deliver(events)
            self.heartbeat.rest()

    def __len__(self) -> int:
        """Returns the number of open answers."""
        return len(self._answers)

    def _handle(self, message: ResultMessage | Cancel) -> list[TextEvent]:
        match message:
            case StepOutputs(outputs):
                return self._handle_step(outputs)
            case Opened():
                return self._open(message)
            case Rejected(request_id, error, x_request_id):
                return [self._fail(request_id, error, x_request_id)]
            case Cancel(request_id):  # always of a whole request: choices end here
                return [self._finish(request_id, FinishReason.CANCELLED)]

    def _open(self, message: Opened) -> list[TextEvent]:
        choices = tuple(_Choice(p, RequestTiming(message.arrival_seconds)) for p in message.pipelines)
        self._answers[message.request_id] = _Answer(
            choices,
            message.num_choices,
            message.num_prompt_tokens,
            set(range(len(choices))),
            message.x_request_id,
        )
        self._metrics.prompt_accepted(message.num_prompt_tokens)
        return [Accepted(message.request_id, message.num_prompt_tokens)]

    def _handle_step(self, outputs: list[StepOutput]) -> list[TextEvent]:
        now_seconds = time.monotonic()
        events: list[TextEvent] = []
        for output in outputs:
            answer = self._answers.get(output.request_id)
            if answer is not None and output.choice_index in answer.open_choices:  # else: late, it has ended
                events += self._handle_output(output, answer, now_seconds)
        return events

    def _handle_output(self, output: StepOutput, answer: _Answer, now_seconds: float) -> list[TextEvent]:
        choice = answer.choices[output.choice_index]
        choice.num_cached_tokens = max(choice.num_cached_tokens, output.num_cached_tokens)
        if output.token_id is not None:
            self._count(choice.timing, output.admitted_seconds, now_seconds)
            choice.predicted = output.predicted
        if output.error is not None:
            return [self._break_off(output, answer, output.error)]
        try:
            return self._convert(output, answer, choice.pipeline)
        except BaseException as error:  # a panic inside a Rust tokenizer is no Exception
            with logged_as(answer.x_request_id):
                broken = client_error(
                    error, output.request_id, "converting the output failed", "convert this answer"
                )
            return [self._break_off(output, answer, broken)]

    def _count(self, timing: RequestTiming, admitted_seconds: float, now_seconds: float) -> None:
        seconds = timing.token(now_seconds)
        if timing.num_tokens == 1:
            self._metrics.first_token(seconds)
            self._metrics.admitted(max(0.0, admitted_seconds - timing.arrival_seconds))
        else:
            self._metrics.inter_token(seconds)

    def _convert(self, output: StepOutput, answer: _Answer, pipeline: OutputPipeline) -> list[TextEvent]:
        pieces, reason = _feed(output, pipeline)
        events: list[TextEvent] = [
            OutputDelta(output.request_id, output.choice_index, piece) for piece in pieces if piece
        ]
        if reason is None:
            return events
        if not output.is_last:  # a stop string: the batch does not know yet
            self._inbox.put(Cancel(output.request_id, output.choice_index))
        return events + self._finish_choice(output, answer, reason)

    def _finish_choice(self, output: StepOutput, answer: _Answer, reason: FinishReason) -> list[TextEvent]:
        answer.open_choices.discard(output.choice_index)
        events: list[TextEvent] = [ChoiceFinished(output.request_id, output.choice_index, reason)]
        return events if answer.open_choices else [*events, self._finish(output.request_id, reason)]

    def _break_off(self, output: StepOutput, answer: _Answer, error: ApiError) -> TextEvent:
        """One choice broke: its request fails alone, and as a whole."""
        if not output.is_last or len(answer.open_choices) > 1:
            self._inbox.put(Cancel(output.request_id))
        return self._fail(output.request_id, error, answer.x_request_id)

    def _finish(self, request_id: str, reason: FinishReason) -> Finished:
        """Also for ids without an answer: cancelled before they were opened, or ended already.

        The event loop knows which: it drops what comes after the terminal event.
        """
        answer = self._answers.pop(request_id, None)
        if answer is None:
            return Finished(request_id, reason, Usage(0, 0))
        with logged_as(answer.x_request_id):
            log_finished(request_id, reason, answer.usage, [choice.timing for choice in answer.choices])
        if reason is not FinishReason.CANCELLED:
            self._metrics.answered(time.monotonic() - answer.choices[0].timing.arrival_seconds)
        return Finished(request_id, reason, answer.usage)

    def _fail(self, request_id: str, error: ApiError, x_request_id: str) -> Failed:
        self._answers.pop(request_id, None)
        log_unanswered = log_refused if isinstance(error, InvalidRequestError) else log_failed
        with logged_as(x_request_id):
            log_unanswered(request_id, error)
        return Failed(request_id, error)


def _feed(output: StepOutput, pipeline: OutputPipeline) -> tuple[list[OutputPiece], FinishReason | None]:
    """Returns what is certain now, and why the choice ends (None: it goes on)."""
    pieces: list[OutputPiece] = []
    if output.prompt_logprobs and isinstance(pipeline, ReadsPrompt):
        pieces.append(pipeline.feed_prompt(output.prompt_logprobs))
    if output.token_id is not None and output.is_text:
        pieces.append(pipeline.feed(output.token_id, output.logprobs))
    reason = output.finish_reason
    if not pipeline.is_stopped and reason in (FinishReason.STOP, FinishReason.LENGTH):
        pieces.append(pipeline.flush())
    if not pipeline.is_stopped:
        pieces += _end(output, pipeline)
    if pipeline.is_stopped:  # also by the flush: a stop string was complete while a longer one was open
        reason = FinishReason.STOP
    if reason is FinishReason.STOP and pipeline.has_tool_calls:
        reason = FinishReason.TOOL_CALLS
    return pieces, reason


def _end(output: StepOutput, pipeline: OutputPipeline) -> list[OutputPiece]:
    """The token that ended the answer, where the client counts tokens."""
    if output.is_text or output.token_id is None or output.logprobs is None:
        return []
    return [pipeline.feed_end(output.token_id, output.logprobs)] if isinstance(pipeline, ReadsPrompt) else []
