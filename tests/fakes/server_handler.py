"""A ServerHandler without threads or model: it plays a script of events for every request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from api.errors import ApiError, StartupError
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
from api.observability.metrics import Metrics
from api.server_handler import Health, ServedModel, ServerHandler
from api.server_stats import ServerStats
from api.stats import DeviceBytes, SchedulerStats
from api.threads.contracts import Question, RequestReader
from api.types import ChatPrompt, FinishReason, GenerationRequest

Script = Callable[[GenerationRequest], list[TextEvent]]  # without a terminal event it hangs

USAGE = Usage(num_prompt_tokens=7, num_completion_tokens=3, num_cached_tokens=2, num_reasoning_tokens=1)
VOCAB_SIZE = 1000


def hello(request: GenerationRequest) -> list[TextEvent]:
    """Each choice says the same, with logprobs where they are asked for."""
    return [*hanging(request), *ends(request, FinishReason.STOP)]


def hanging(request: GenerationRequest) -> list[TextEvent]:
    pieces = [_with_logprobs(text, request.sampling.num_top_logprobs) for text in ("Hel", "lo ✓")]
    deltas = [
        OutputDelta(request.request_id, i, each) for each in pieces for i in range(request.num_sequences)
    ]
    return [*silent(request), *deltas]


def silent(request: GenerationRequest) -> list[TextEvent]:
    return [Accepted(request.request_id, 7)]


def failing(error: ApiError, before: Script = lambda _: []) -> Script:
    return lambda request: [*before(request), Failed(request.request_id, error)]


def saying(*pieces: OutputPiece, reason: FinishReason = FinishReason.STOP) -> Script:
    def script(request: GenerationRequest) -> list[TextEvent]:
        deltas = [OutputDelta(request.request_id, 0, piece) for piece in pieces]
        return [*silent(request), *deltas, *ends(request, reason)]

    return script


def calling(name: str, *arguments: str, call_id: str = "call_1", index: int = 0) -> Script:
    """One call whose arguments come in pieces."""
    first = ToolCallDelta(index, call_id=call_id, name=name)
    pieces = [first, *(ToolCallDelta(index, each) for each in arguments)]
    return saying(*(OutputPiece(tool_calls=(each,)) for each in pieces), reason=FinishReason.TOOL_CALLS)


def ends(request: GenerationRequest, reason: FinishReason) -> list[TextEvent]:
    indices = range(request.num_sequences)
    ends = [ChoiceFinished(request.request_id, index, reason) for index in indices]
    return [*ends, Finished(request.request_id, reason, USAGE)]


def _with_logprobs(text: str, num_top_logprobs: int | None) -> OutputPiece:
    if num_top_logprobs is None:
        return OutputPiece(content=text)
    others = [TokenLogprob(f"other{i}", f"other{i}".encode(), -2.0 - i) for i in range(num_top_logprobs)]
    return OutputPiece(content=text, logprobs=(TokenLogprob(text, text.encode(), -0.5, tuple(others)),))


class FakePromptReader:
    """A token is a character's number."""

    def tokenize(self, text: str, add_special_tokens: bool) -> list[int]:
        return [1] * add_special_tokens + [ord(letter) for letter in text]

    def tokenize_chat(self, prompt: ChatPrompt) -> list[int]:
        return self.tokenize("".join(each["content"] or "" for each in prompt.messages), False)

    def detokenize(self, token_ids: list[int]) -> str:
        return "".join(map(chr, token_ids))


class FakeChannel:
    def __init__(self, request_id: str, events: list[TextEvent]) -> None:
        self.request_id = request_id
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[TextEvent] = asyncio.Queue()
        for event in events:
            self.put(event)

    def put(self, event: TextEvent) -> None:
        self._events.put_nowait(event)

    def put_from_elsewhere(self, event: TextEvent) -> None:
        """From a thread that is not the event loop's."""
        self._loop.call_soon_threadsafe(self.put, event)

    async def next_event(self) -> TextEvent:
        return await self._events.get()


class FakeServerHandler:
    def __init__(self, script: Script = hello) -> None:
        self.script = script
        self.health = Health("ok", "serving")
        self.served_model = ServedModel(
            names=("org/tiny", "tiny", "model"),
            created_seconds=1700000000,
            context_length=4096,
            fingerprint="fp_0123456789ab",
            vocab_size=VOCAB_SIZE,
        )
        self.refusal: ApiError | None = None
        self.load_error: StartupError | None = None
        self.died = asyncio.Event()
        self.requests: list[GenerationRequest] = []
        self.channels: list[FakeChannel] = []
        self.cancelled: list[str] = []
        self.calls: list[str] = []
        self.bug: Exception | None = None
        self.refused_codes: list[str | None] = []

    @property
    def typed(self) -> ServerHandler:
        """Itself, as what it stands for."""
        return cast(ServerHandler, self)

    def start(self) -> None:
        self.calls.append("start")

    async def wait_loaded(self) -> None:
        if self.load_error is not None:
            raise self.load_error

    async def wait_dead(self) -> None:
        await self.died.wait()

    def submit(self, request: GenerationRequest) -> FakeChannel:
        for each in (self.refusal, self.bug):
            if each is not None:
                raise each
        self.requests.append(request)
        channel = FakeChannel(request.request_id, self.script(request))
        self.channels.append(channel)
        return channel

    async def read_aside(self, question: Question) -> Any:
        return question.ask(cast(RequestReader, FakePromptReader()))

    def record_refusal(self, error: ApiError, request_id: str = "-") -> None:
        self.refused_codes.append(error.code)

    def cancel(self, request_id: str) -> None:
        self.cancelled.append(request_id)

    async def drain(self, timeout_seconds: float) -> None:
        self.calls.append("drain")
        self.health = Health("draining", "")

    async def stop(self) -> None:
        self.calls.append("stop")

    def stats(self) -> dict[str, Any]:
        return {"uptime_seconds": 1.5}

    def read_stats(self) -> ServerStats:
        metrics, nothing = Metrics().snapshot(), (SchedulerStats(), DeviceBytes())
        return ServerStats(self.health.status, {}, metrics, *nothing, 0, 0, max_running=32)
