"""The processing thread: requests become sequences."""

from __future__ import annotations

from concurrent.futures import Future

import structlog

from api.errors import ApiError, ServerSideError
from api.events import Opened, Rejected
from api.threads.contracts import Aside, LoadedEngine, PromptReader, PromptSink, RequestQueue, ResultQueue
from api.threads.worker import Heartbeat
from api.types import Cancel, GenerationRequest

log = structlog.get_logger(__name__)


class ProcessingThread:
    """Reads each prompt, opens the request at the results thread, then sends it to the batch."""

    def __init__(
        self, requests: RequestQueue, inbox: PromptSink, results: ResultQueue, loaded: Future[LoadedEngine]
    ) -> None:
        self._requests = requests
        self._inbox = inbox
        self._results = results
        self._loaded = loaded
        # Shared with the event loop; single set operations are atomic. An id is in here from its
        # cancel until the Cancel message arrives, which is always behind the request.
        self._cancelled: set[str] = set()
        self.heartbeat = Heartbeat("processing")

    def cancel(self, request_id: str) -> None:
        """Event loop thread: forgets a request that was put into the queue before, once."""
        self._cancelled.add(request_id)
        self._requests.put(Cancel(request_id))

    def run(self) -> None:
        if self._loaded.exception() is not None:  # waits for the model
            return
        reader = self._loaded.result().prompt_reader
        while (message := self._requests.get()) is not None:
            self.heartbeat.beat()
            self._handle(message, reader)
            self.heartbeat.rest()

    def _handle(self, message: GenerationRequest | Cancel | Aside, reader: PromptReader) -> None:
        if isinstance(message, Cancel):
            self._forget(message)
        elif isinstance(message, Aside):
            _answer(message, reader)
        elif message.request_id not in self._cancelled:  # else: spare the work, the Cancel follows
            self._open(message, reader)

    def _forget(self, message: Cancel) -> None:
        self._results.put(message)
        self._inbox.put(message)
        self._cancelled.discard(message.request_id)

    def _open(self, request: GenerationRequest, reader: PromptReader) -> None:
        try:
            choices = reader.read(request)
        except BaseException as error:  # a panic inside a Rust tokenizer is no Exception
            failure = _as_api_error(error, request.request_id)
            self._results.put(Rejected(request.request_id, failure, request.x_request_id))
            return
        opened = Opened(
            request_id=request.request_id,
            pipelines=tuple(pipeline for _, pipeline in choices),
            num_choices=request.num_choices,
            num_prompt_tokens=sum({s.prompt_index: s.num_prompt_tokens for s, _ in choices}.values()),
            arrival_seconds=request.arrival_seconds,
            x_request_id=request.x_request_id,
        )
        self._results.put(opened)
        for sequence, _ in choices:
            self._inbox.put(sequence)


def _answer(aside: Aside, reader: PromptReader) -> None:
    if not aside.answer.set_running_or_notify_cancel():
        return
    try:
        aside.answer.set_result(aside.ask(reader))
    except BaseException as error:  # a panic inside a Rust tokenizer is no Exception
        aside.answer.set_exception(_as_api_error(error, "-"))


def _as_api_error(error: BaseException, request_id: str) -> ApiError:
    if isinstance(error, ApiError):
        return error
    log.error("reading a prompt failed", request_id=request_id, exc_info=error)
    return ServerSideError("The server failed to read this request; its log has the details.")
