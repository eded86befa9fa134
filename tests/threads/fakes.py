"""An engine without a model: each request's message text *is* its answer, one token a character.

Some characters misbehave: ``!`` is the end-of-sequence token, ``#`` makes the step raise, ``~`` makes
the output pipeline raise, and a message that starts with ``@`` or ``%`` is refused by the reader (with
an ApiError or with an unexpected exception).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from api.config import EngineConfig, ServerConfig
from api.engine.disk.prefix_disk import NoPrefixDisk
from api.engine.sequences.sequence import Sequence
from api.errors import ContextLengthError, ServerSideError
from api.events import OutputPiece, OutputPipeline
from api.stats import DeviceBytes, PrefixCacheStats, SchedulerStats
from api.step_plan import SampledLogprobs, SampledToken, Slot, Span, StepOutput, StepPlan
from api.threads.contracts import PrefixTier
from api.types import ChatPrompt, FinishReason, GenerationRequest, Grammar, SamplingDefaults, SamplingParams

EOS = ord("!")
GREEDY = SamplingParams(temperature=0.0)
PREFIX_CACHE = PrefixCacheStats(num_asked_tokens=8, num_hit_tokens=2, num_blocks=1, limit_bytes=500)


class FakePipeline:
    """Streams characters; keeps the last one back while it may begin a stop string."""

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self._stop = stop
        self._held = ""
        self.is_stopped = False
        self.has_tool_calls = False
        self.num_reasoning_tokens = 0

    def feed(self, token_id: int, logprobs: SampledLogprobs | None = None) -> OutputPiece:
        if token_id == ord("~"):
            raise RuntimeError("pipeline broke")
        self._held += chr(token_id)
        for stop in self._stop:
            if stop in self._held:
                self.is_stopped = True
                return self._take(self._held.index(stop))
        return self._take(max(0, len(self._held) - max((len(s) - 1 for s in self._stop), default=0)))

    def flush(self) -> OutputPiece:
        return self._take(len(self._held))

    def _take(self, length: int) -> OutputPiece:
        text, self._held = self._held[:length], self._held[length:]
        return OutputPiece(text)


class FakePromptReader:
    def __init__(self, scripts: dict[int, str]) -> None:
        self._scripts = scripts
        self._ids = itertools.count()
        self.read_ids: list[str] = []
        self.grammars: dict[str, Any] = {}  # by request
        self.gate = threading.Event()
        self.gate.set()

    def measure(self, request: GenerationRequest) -> int:
        assert isinstance(request.prompt, ChatPrompt)
        text: str = request.prompt.messages[0]["content"]
        if text.startswith("@@"):
            raise ContextLengthError("far too long")
        return len(text)

    def grammar_job(self, request: GenerationRequest) -> Any:
        return request.structure

    def read(
        self, request: GenerationRequest, grammar: Grammar | None = None
    ) -> list[tuple[Sequence, OutputPipeline]]:
        self.gate.wait(5)
        self.read_ids.append(request.request_id)
        self.grammars[request.request_id] = grammar
        assert isinstance(request.prompt, ChatPrompt)
        text = request.prompt.messages[0]["content"]
        if text.startswith("@"):
            raise ContextLengthError("too long")
        if text.startswith("%"):
            raise RuntimeError("template broke")
        return [
            (self._sequence(request, text, i), FakePipeline(request.stop)) for i in range(request.num_choices)
        ]

    def tokenize(self, text: str, add_special_tokens: bool) -> list[int]:
        return [ord(character) for character in text]

    def tokenize_chat(self, prompt: ChatPrompt) -> list[int]:
        return self.tokenize(prompt.messages[0]["content"], False)

    def detokenize(self, token_ids: list[int]) -> str:
        return "".join(map(chr, token_ids))

    def _sequence(self, request: GenerationRequest, text: str, choice_index: int) -> Sequence:
        sequence_id = next(self._ids)
        self._scripts[sequence_id] = text
        return Sequence(
            sequence_id=sequence_id,
            request_id=request.request_id,
            token_ids=[1, 2, 3],
            num_prompt_tokens=3,
            max_tokens=request.max_tokens or 100,
            sampling=request.sampling,
            eos_token_ids=frozenset({EOS}),
            choice_index=choice_index,
            x_request_id=request.x_request_id,
        )


@dataclass
class FakeScheduler:
    """Everybody runs at once; after a step that raised, each of its sequences runs alone."""

    running: dict[int, Sequence] = field(default_factory=dict)
    suspects: set[int] = field(default_factory=set)
    planned: tuple[int, ...] = ()
    cancelled_ids: list[str] = field(default_factory=list)
    schedule_error: BaseException | None = None
    num_cached_tokens: int = 0  # of each prompt
    pause_seconds: float = 0.0

    @property
    def has_work(self) -> bool:
        return bool(self.running)

    def add(self, sequence: Sequence) -> None:
        self.running[sequence.sequence_id] = sequence

    def cancel(self, request_id: str, choice_index: int | None = None) -> list[StepOutput]:
        self.cancelled_ids.append(request_id)
        of_request = [s for s in self.running.values() if s.request_id == request_id]
        found = [s for s in of_request if choice_index in (None, s.choice_index)]
        for sequence in found:
            self._drop(sequence.sequence_id)
        return [
            StepOutput(request_id, finish_reason=FinishReason.CANCELLED, choice_index=s.choice_index)
            for s in found
        ]

    def schedule(self) -> StepPlan:
        if self.schedule_error is not None:
            raise self.schedule_error
        self.planned = (min(self.suspects),) if self.suspects else tuple(self.running)
        return StepPlan(spans=tuple(_span(self.running[i]) for i in self.planned))

    def update(self, sampled: list[SampledToken], read_seconds: float | None = None) -> list[StepOutput]:
        self.suspects -= set(self.planned)
        return [self._append(token) for token in sampled]

    def recover(self, error: Exception) -> list[StepOutput]:
        if len(self.planned) > 1:
            self.suspects |= set(self.planned)
            return []
        sequence = self.running[self.planned[0]]
        self._drop(self.planned[0])
        error = ServerSideError("the step failed")
        return [StepOutput(sequence.request_id, error=error, choice_index=sequence.choice_index)]

    def restart(self) -> None:
        """Nothing was lost that this fake has."""

    def stats(self) -> SchedulerStats:
        used_bytes = 10 * len(self.running)
        return SchedulerStats(len(self.running), 0, used_bytes, used_bytes, 1000, prefix_cache=PREFIX_CACHE)

    def _append(self, token: SampledToken) -> StepOutput:
        sequence = self.running[token.sequence_id]
        sequence.token_ids.append(token.token_id)
        is_text = token.token_id not in sequence.eos_token_ids
        reason = FinishReason.STOP if not is_text else None
        if reason is None and sequence.is_exhausted:
            reason = FinishReason.LENGTH
        if reason is not None:
            self._drop(token.sequence_id)
        return StepOutput(
            sequence.request_id,
            token.token_id,
            is_text,
            reason,
            choice_index=sequence.choice_index,
            num_cached_tokens=self.num_cached_tokens,
        )

    def _drop(self, sequence_id: int) -> None:
        del self.running[sequence_id]
        self.suspects.discard(sequence_id)


def _span(sequence: Sequence) -> Span:
    num_sampled = sequence.num_sampled
    token_ids = tuple(sequence.token_ids[-1:]) if num_sampled else tuple(sequence.token_ids)
    return Span(sequence.sequence_id, Slot(256, 0), 0, token_ids, True, num_sampled)


class FakeGenerator:
    """Reads the answers from the scripts; past a script's end it answers with end-of-sequence."""

    def __init__(self, scripts: dict[int, str]) -> None:
        self._scripts = scripts
        self.num_resets = 0
        self.fails_dispatch = False
        self.read_seconds = 0.0
        self.batch_sizes: list[int] = []
        self.samplings: dict[int, SamplingParams] = {}  # of the sequences that were added
        self.gate = threading.Event()  # cleared: the step hangs
        self.gate.set()

    def add(self, sequence_id: int, sampling: SamplingParams) -> None:
        self.samplings[sequence_id] = sampling

    def step(self, plan: StepPlan) -> list[SampledToken]:
        assert all(span.sequence_id in self.samplings for span in plan.spans)
        self.gate.wait(5)
        self.batch_sizes.append(len(plan.spans))
        return [SampledToken(span.sequence_id, self._next(span)) for span in plan.spans]

    def dispatch(self) -> None:
        if self.fails_dispatch:
            self.fails_dispatch = False
            raise RuntimeError("the device broke")

    def reset(self) -> None:
        self.num_resets += 1

    def _next(self, span: Span) -> int:
        rest = self._scripts[span.sequence_id][span.sample_index :]
        if rest.startswith("#"):
            raise RuntimeError("the device broke")
        return ord(rest[0]) if rest else EOS


class FakeGrammars:
    """Compiles nothing: what waits is delivered by the test."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, Callable[[], bool], Callable[[Any], None]]] = []
        self.is_closed = False

    def compile(
        self,
        job: Any,
        client_id: str,
        is_wanted: Callable[[], bool],
        deliver: Callable[[Any], None],
        x_request_id: str = "",
    ) -> None:
        self.waiting.append((job, is_wanted, deliver))

    def close(self) -> None:
        self.is_closed = True


@dataclass
class FakeEngine:
    scheduler: FakeScheduler
    generator: FakeGenerator
    prompt_reader: FakePromptReader
    grammars: FakeGrammars = field(default_factory=FakeGrammars)
    model_names: tuple[str, ...] = ("folder/tiny", "tiny")
    context_length: int = 128
    fingerprint: str = "fp_0123456789ab"
    vocab_size: int = 256
    sampling_defaults: SamplingDefaults = field(default_factory=lambda: SamplingDefaults(top_k=20))
    prefix_disk: PrefixTier = field(default_factory=NoPrefixDisk)
    describe: dict[str, Any] = field(default_factory=lambda: {"parameters": 1})

    def read_device(self) -> DeviceBytes:
        return DeviceBytes(loaded_bytes=100, active_bytes=120)

    @property
    def is_empty(self) -> bool:
        return not self.scheduler.running and not self.scheduler.suspects


def create_engine() -> FakeEngine:
    scripts: dict[int, str] = {}
    return FakeEngine(FakeScheduler(), FakeGenerator(scripts), FakePromptReader(scripts))


def create_load(engine: FakeEngine) -> Callable[[ServerConfig, Callable[[str], None]], FakeEngine]:
    return lambda config, report: engine


def create_config(
    max_batch_size: int = 32, max_queue: int = 256, prefix_cache_dir: str | None = None, **settings: Any
) -> ServerConfig:
    engine = EngineConfig(max_batch_size=max_batch_size, prefix_cache_dir=prefix_cache_dir)
    return ServerConfig(engine, max_queue=max_queue, **settings)


def create_request(
    request_id: str,
    text: str = "hello!",
    max_tokens: int | None = None,
    stop: tuple[str, ...] = (),
    num_choices: int = 1,
) -> GenerationRequest:
    prompt = ChatPrompt(({"role": "user", "content": text},))
    return GenerationRequest(request_id, prompt, GREEDY, num_choices, max_tokens, stop=stop)
