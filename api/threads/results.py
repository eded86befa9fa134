"""The results thread: tokens become text events."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

from api.errors import ApiError, ServerSideError
from api.observability.metrics import Metrics
from api.observability.request_log import RequestTiming, log_failed, log_finished
from api.threads.contracts import Deliver, Inbox, ResultQueue
from api.threads.worker import Heartbeat
from api.types import (
    Accepted,
    Cancel,
    Failed,
    Finished,
    FinishReason,
    Opened,
    OutputPipeline,
    Rejected,
    ResultMessage,
    StepOutput,
    StepOutputs,
    TextDelta,
    TextEvent,
    Usage,
)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Answer:
    """One request's output side."""

    pipeline: OutputPipeline
    num_prompt_tokens: int
    timing: RequestTiming

    @property
    def usage(self) -> Usage:
        return Usage(self.num_prompt_tokens, self.timing.num_tokens)


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
            case Rejected(request_id, error):
                return [self._fail(request_id, error)]
            case Cancel(request_id):
                return [self._finish(request_id, FinishReason.CANCELLED)]

    def _open(self, message: Opened) -> list[TextEvent]:
        timing = RequestTiming(message.arrival_seconds)
        self._answers[message.request_id] = _Answer(message.pipeline, message.num_prompt_tokens, timing)
        return [Accepted(message.request_id, message.num_prompt_tokens)]

    def _handle_step(self, outputs: list[StepOutput]) -> list[TextEvent]:
        now_seconds = time.monotonic()
        events: list[TextEvent] = []
        for output in outputs:
            answer = self._answers.get(output.request_id)
            if answer is not None:  # else: late, its request has ended
                events += self._handle_output(output, answer, now_seconds)
        return events

    def _handle_output(self, output: StepOutput, answer: _Answer, now_seconds: float) -> list[TextEvent]:
        if output.token_id is not None:
            self._count(answer.timing, now_seconds)
        if output.error is not None:
            return [self._fail(output.request_id, output.error)]
        try:
            return self._convert(output, answer.pipeline)
        except BaseException as error:  # a panic inside a Rust tokenizer is no Exception
            return [self._isolate(output, error)]

    def _count(self, timing: RequestTiming, now_seconds: float) -> None:
        seconds = timing.token(now_seconds)
        if timing.num_tokens == 1:
            self._metrics.first_token(seconds)
        else:
            self._metrics.inter_token(seconds)

    def _convert(self, output: StepOutput, pipeline: OutputPipeline) -> list[TextEvent]:
        text, reason = _feed(output, pipeline)
        events: list[TextEvent] = [TextDelta(output.request_id, text)] if text else []
        if reason is None:
            return events
        if not output.is_last:  # a stop string: the batch does not know yet
            self._inbox.put(Cancel(output.request_id))
        return [*events, self._finish(output.request_id, reason)]

    def _isolate(self, output: StepOutput, error: BaseException) -> TextEvent:
        """One request's output side broke: it fails alone."""
        if not output.is_last:
            self._inbox.put(Cancel(output.request_id))
        if isinstance(error, ApiError):
            return self._fail(output.request_id, error)
        log.error("converting the output failed", request_id=output.request_id, exc_info=error)
        message = "The server failed to convert this answer; its log has the details."
        return self._fail(output.request_id, ServerSideError(message))

    def _finish(self, request_id: str, reason: FinishReason) -> Finished:
        """Also for ids without an answer: cancelled before they were opened, or ended already.

        The event loop knows which: it drops what comes after the terminal event.
        """
        answer = self._answers.pop(request_id, None)
        if answer is None:
            return Finished(request_id, reason, Usage(0, 0))
        log_finished(request_id, reason, answer.usage, answer.timing)
        return Finished(request_id, reason, answer.usage)

    def _fail(self, request_id: str, error: ApiError) -> Failed:
        self._answers.pop(request_id, None)
        log_failed(request_id, error)
        return Failed(request_id, error)


def _feed(output: StepOutput, pipeline: OutputPipeline) -> tuple[str, FinishReason | None]:
    """Returns the text that is certain now, and why the answer ends (None: it goes on)."""
    text = ""
    if output.token_id is not None and output.is_text:
        text = pipeline.feed(output.token_id)
    if pipeline.is_stopped:
        return text, FinishReason.STOP
    if output.finish_reason in (FinishReason.STOP, FinishReason.LENGTH):
        text += pipeline.flush()
        if pipeline.is_stopped:  # a stop string that was complete while a longer one was still open
            return text, FinishReason.STOP
    return text, output.finish_reason
