"""What the threads need from the engine and the text side. They know nothing else of either.

Each has two implementations: the real one, and one without a model that the threads are tested with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol

from api.config import ServerConfig
from api.engine.disk.prefix_disk import PromptReading
from api.engine.disk.reader import BlocksRead
from api.engine.sequences.sequence import Sequence
from api.errors import ApiError
from api.events import OutputPipeline, ResultMessage, TextEvent
from api.stats import DeviceBytes, PrefixDiskStats, SchedulerStats
from api.step_plan import StepNews, StepOutput, StepPlan
from api.types import (
    Cancel,
    ChatPrompt,
    GenerationRequest,
    Grammar,
    Report,
    SamplingDefaults,
    SamplingParams,
)


class StepPlanner(Protocol):
    """Decides what each step computes. Batch thread only."""

    @property
    def has_work(self) -> bool:
        """True while anything is to be scheduled, read back or given up."""

    @property
    def pause_seconds(self) -> float:
        """How long the first step may be put off for a further sequence; 0 for not at all."""

    def add(self, sequence: Sequence) -> None:
        """Takes the sequence over. Raises ApiError where it can never run."""

    def cancel(self, request_id: str, choice_index: int | None = None) -> list[StepOutput]:
        """Frees the sequences (of one choice, or all); returns their last outputs, none for an unknown id."""

    def schedule(self) -> StepPlan: ...

    def update(self, sampled: list[StepNews], read_seconds: float | None = None) -> list[StepOutput]: ...

    def recover(self, error: Exception) -> list[StepOutput]:
        """After a step raised: its sequences restart, alone; one that failed alone is failed.

        Raises ``error`` where no sequence can be blamed.
        """

    def restart(self) -> None:
        """After the device's memory was lost: all sequences start again."""

    def stats(self) -> SchedulerStats: ...


class PlanRunner(Protocol):
    """Computes steps. Batch thread only."""

    @property
    def read_seconds(self) -> float:
        """time.monotonic() when the last step that was read back had ended."""

    def add(self, sequence_id: int, sampling: SamplingParams) -> None:
        """Takes what a sequence brings for its whole life; plans name it by its id, until it has ended."""

    def step(self, plan: StepPlan) -> list[StepNews]:
        """Takes this plan, returns the tokens of the one before."""

    def dispatch(self) -> None:
        """Hands the plan to the device, where ``step`` has left that because it takes long."""

    def reset(self) -> None:
        """Forgets what is in flight, after an exception. The sequences that were added go on."""


class RequestReader(Protocol):
    """Renders and tokenises requests. Processing thread, and the hands that prepare long prompts."""

    def measure(self, request: GenerationRequest) -> int:
        """Returns the characters to be read, about. Raises ApiError for more than could ever fit."""

    def grammar_job(self, request: GenerationRequest) -> Any:
        """What is to be compiled for the request, for ``Grammars``; None where its answer is free."""

    def read(
        self, request: GenerationRequest, grammar: Grammar | None
    ) -> list[tuple[Sequence, OutputPipeline]]:
        """One pair for each choice, by index. Raises ApiError where the request cannot be served."""

    def tokenize(self, text: str, add_special_tokens: bool) -> list[int]:
        """Raises ApiError for text that is none."""

    def tokenize_chat(self, prompt: ChatPrompt) -> list[int]:
        """Raises ApiError where the template refuses the messages."""

    def detokenize(self, token_ids: list[int]) -> str:
        """Raises ApiError for ids that are not in the vocabulary."""


class Grammars(Protocol):
    """Compiles beside the threads that serve. Any thread."""

    def compile(
        self,
        job: Any,
        client_id: str,
        is_wanted: Callable[[], bool],
        deliver: Callable[[Grammar | ApiError], None],
        x_request_id: str = "",
    ) -> None:
        """Calls ``deliver`` once, from any thread, unless nobody wants the grammar any more."""

    def close(self) -> None: ...


class PrefixTier(Protocol):
    """The prefix cache's tier on disk, or none."""

    def read(self, sequence: Sequence) -> PromptReading:
        """Prefetch thread, which owns the sequence: what is to be sent to the batch before it."""

    def adopt(self, read: BlocksRead) -> None:
        """Batch thread, between two steps."""

    def write(self) -> None:
        """Disk writer thread: returns after ``close``."""

    def close(self) -> None:
        """Any thread, once, when the batch has ended."""

    def stats(self) -> PrefixDiskStats:
        """Any thread."""


class ServedEngine(Protocol):
    """All that a loaded model gives."""

    @property
    def scheduler(self) -> StepPlanner: ...
    @property
    def generator(self) -> PlanRunner: ...
    @property
    def prompt_reader(self) -> RequestReader: ...
    @property
    def grammars(self) -> Grammars: ...
    @property
    def prefix_disk(self) -> PrefixTier: ...
    @property
    def model_names(self) -> tuple[str, ...]: ...
    @property
    def context_length(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def vocab_size(self) -> int:
        """Token ids are below this."""

    @property
    def sampling_defaults(self) -> SamplingDefaults:
        """What the model's folder recommends."""

    @property
    def describe(self) -> dict[str, Any]:
        """What /stats says about the model; JSON-ready."""

    def read_device(self) -> DeviceBytes:
        """What the device's memory holds. Batch thread only."""


Choices = list[tuple[Sequence, OutputPipeline]]


@dataclass(frozen=True, slots=True)
class Question:
    """What the prompt reader is asked without a generation; ``ask`` may raise ApiError."""

    ask: Callable[[RequestReader], Any]
    num_chars: int  # how much there is to read, about


@dataclass(frozen=True, slots=True)
class Aside:
    """A question on its way, with somebody who waits for the answer."""

    question: Question
    is_wanted: Callable[[], bool]  # any thread
    answer: Callable[[Any], None]  # takes what ``ask`` returned, or an ApiError; any thread
    x_request_id: str = ""  # the name that its HTTP answer has, for log lines


@dataclass(frozen=True, slots=True)
class GrammarReady:
    """A compiler built a request's grammar, or says why it cannot be had."""

    request: GenerationRequest
    num_chars: int
    outcome: Grammar | ApiError


@dataclass(frozen=True, slots=True)
class PromptRead:
    """A hand prepared a long prompt, or says why it is refused."""

    request: GenerationRequest
    outcome: Choices | ApiError


class PromptSink(Protocol):
    """Where sequences go, and the cancels behind them: the batch thread's inbox, or the stage before it."""

    def put(self, item: Sequence | Cancel) -> None: ...


LoadEngine = Callable[[ServerConfig, Report], ServedEngine]
"""Runs on the batch thread; the callable takes progress lines. Raises StartupError."""

RequestQueue = SimpleQueue[GenerationRequest | GrammarReady | PromptRead | Cancel | Aside | None]
Arrivals = SimpleQueue[Sequence | Cancel | None]
"""On the way to the batch thread's inbox, where a stage lies between."""

Inbox = SimpleQueue[Sequence | BlocksRead | Cancel | None]
ResultQueue = SimpleQueue[ResultMessage | Cancel | None]
Deliver = Callable[[list[TextEvent]], None]
