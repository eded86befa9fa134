"""The processing thread: requests become sequences.

What takes long is done beside it, and comes back into its queue: a grammar by a compiler process, a long
prompt by a hand. So a short prompt never waits for somebody else's long one::

    GenerationRequest --grammar?--> grammars ..GrammarReady..> --long?--> hand ..PromptRead..> opened
"""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial

from api.errors import ApiError
from api.events import Opened, Rejected
from api.observability.request_log import logged_as
from api.threads.contracts import (
    Aside,
    Choices,
    GrammarReady,
    PromptRead,
    PromptSink,
    RequestQueue,
    RequestReader,
    ResultQueue,
    ServedEngine,
)
from api.threads.failures import client_error
from api.threads.hands import LongWork
from api.threads.worker import Heartbeat
from api.types import Cancel, GenerationRequest, Grammar

MAX_SHORT_CHARS = 32_768  # read in about 10 ms


class ProcessingThread:
    """Has each prompt read, opens the request at the results thread, then sends it to the batch."""

    def __init__(
        self,
        requests: RequestQueue,
        inbox: PromptSink,
        results: ResultQueue,
        loaded: Future[ServedEngine],
        long_work: LongWork,
    ) -> None:
        self._requests = requests
        self._inbox = inbox
        self._results = results
        self._loaded = loaded
        self._long_work = long_work
        # Shared with the event loop; single set operations are atomic. An id is in here from its
        # cancel until the Cancel message arrives, which is always behind the request.
        self._cancelled: set[str] = set()
        self._pending: set[str] = set()  # requests that others work on: a grammar is compiled, a prompt read
        self.heartbeat = Heartbeat("processing")

    def cancel(self, request_id: str) -> None:
        """Event loop thread: forgets a request that was put into the queue before, once."""
        self._cancelled.add(request_id)
        self._requests.put(Cancel(request_id))

    def run(self) -> None:
        if self._loaded.exception() is not None:  # waits for the model
            return
        engine = self._loaded.result()
        while (message := self._requests.get()) is not None:
            self.heartbeat.beat()
            self._handle(message, engine)
            self.heartbeat.rest()

    def _handle(
        self, message: GenerationRequest | GrammarReady | PromptRead | Cancel | Aside, engine: ServedEngine
    ) -> None:
        match message:
            case Cancel():
                self._forget(message)
            case Aside():
                self._read_aside(message, engine.prompt_reader)
            case GrammarReady(request, num_chars, outcome):
                if self._is_back(request):
                    self._read(request, num_chars, outcome, engine.prompt_reader)
            case PromptRead(request, outcome):
                if self._is_back(request):
                    self._open(request, outcome)
            case _:
                if self._is_wanted(message.request_id):  # else: spare the work, the Cancel follows
                    self._begin(message, engine)

    def _forget(self, message: Cancel) -> None:
        self._pending.discard(message.request_id)
        self._results.put(message)
        self._inbox.put(message)
        self._cancelled.discard(message.request_id)

    def _is_wanted(self, request_id: str) -> bool:
        return request_id not in self._cancelled

    def _is_pending(self, request_id: str) -> bool:
        """Any thread: whether the work that is done beside this thread is wanted still."""
        return request_id in self._pending and self._is_wanted(request_id)

    def _is_back(self, request: GenerationRequest) -> bool:
        """False for a request that was cancelled meanwhile."""
        is_wanted = self._is_pending(request.request_id)
        self._pending.discard(request.request_id)
        return is_wanted

    # --- a request's way -------------------------------------------------------------------------

    def _begin(self, request: GenerationRequest, engine: ServedEngine) -> None:
        try:
            num_chars = engine.prompt_reader.measure(request)
            job = engine.prompt_reader.grammar_job(request)
        except BaseException as error:  # whatever a stranger's request does, this thread goes on
            self._open(request, _unread(error, request.request_id, request.x_request_id))
            return
        if job is None:
            self._read(request, num_chars, None, engine.prompt_reader)
            return
        self._pending.add(request.request_id)
        engine.grammars.compile(
            job,
            request.client_id,
            partial(self._is_pending, request.request_id),
            lambda outcome: self._requests.put(GrammarReady(request, num_chars, outcome)),
            request.x_request_id,
        )

    def _read(
        self,
        request: GenerationRequest,
        num_chars: int,
        grammar: Grammar | ApiError | None,
        reader: RequestReader,
    ) -> None:
        if isinstance(grammar, ApiError):
            self._open(request, grammar)
            return
        if num_chars <= MAX_SHORT_CHARS:
            self._open(request, _read(request, grammar, reader))
            return
        self._pending.add(request.request_id)
        self._long_work.put(partial(self._read_long, request, grammar, reader), num_chars)

    def _read_long(self, request: GenerationRequest, grammar: Grammar | None, reader: RequestReader) -> None:
        """A hand's thread."""
        if self._is_pending(request.request_id):
            self._requests.put(PromptRead(request, _read(request, grammar, reader)))

    def _open(self, request: GenerationRequest, choices: Choices | ApiError) -> None:
        if isinstance(choices, ApiError):
            self._results.put(Rejected(request.request_id, choices, request.x_request_id))
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

    def _read_aside(self, aside: Aside, reader: RequestReader) -> None:
        num_chars = aside.question.num_chars
        if num_chars <= MAX_SHORT_CHARS:
            _answer(aside, reader)
        else:
            self._long_work.put(partial(_answer, aside, reader), num_chars)


def _read(request: GenerationRequest, grammar: Grammar | None, reader: RequestReader) -> Choices | ApiError:
    try:
        with logged_as(request.x_request_id):
            return reader.read(request, grammar)
    except BaseException as error:  # a panic inside a Rust tokenizer is no Exception
        return _unread(error, request.request_id, request.x_request_id)


def _answer(aside: Aside, reader: RequestReader) -> None:
    if not aside.is_wanted():
        return
    try:
        answer = aside.question.ask(reader)
    except BaseException as error:  # a panic inside a Rust tokenizer is no Exception
        answer = _unread(error, "-", aside.x_request_id)
    aside.answer(answer)


def _unread(error: BaseException, request_id: str, x_request_id: str) -> ApiError:
    with logged_as(x_request_id):
        return client_error(error, request_id, "reading a prompt failed", "read this request")
