"""What the threads need from the engine and the text side. They know nothing else of either."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol

from api.config import ServerConfig
from api.engine.sequence import Sequence
from api.types import (
    Cancel,
    GenerationRequest,
    OutputPipeline,
    ResultMessage,
    SampledToken,
    SchedulerStats,
    StepOutput,
    StepPlan,
    TextEvent,
)


class Scheduler(Protocol):
    """Decides what each step computes. Batch thread only."""

    @property
    def has_work(self) -> bool:
        """True while anything is to be scheduled, read back or given up."""

    def add(self, sequence: Sequence) -> None:
        """Takes the sequence over. Raises ApiError where it can never run."""

    def cancel(self, request_id: str) -> list[StepOutput]:
        """Frees the sequence; returns its last output, nothing for an unknown id."""

    def schedule(self) -> StepPlan: ...

    def update(
        self, sampled: list[SampledToken], read_seconds: float | None = None
    ) -> list[StepOutput]: ...

    def recover(self, error: Exception) -> list[StepOutput]:
        """After a step raised: its sequences restart, alone; one that failed alone is failed.

        Raises ``error`` where no sequence can be blamed.
        """

    def stats(self) -> SchedulerStats: ...


class BatchGenerator(Protocol):
    """Computes steps. Batch thread only."""

    @property
    def read_seconds(self) -> float:
        """time.monotonic() when the last step that was read back had ended."""

    def step(self, plan: StepPlan) -> list[SampledToken]:
        """Dispatches this plan, returns the tokens of the one before."""

    def reset(self) -> None:
        """Forgets what is in flight, after an exception."""


class PromptReader(Protocol):
    """Renders and tokenises a request. Processing thread only."""

    def read(self, request: GenerationRequest) -> tuple[Sequence, OutputPipeline]:
        """Raises ApiError where the request cannot be served."""


class LoadedEngine(Protocol):
    """All that a loaded model gives."""

    @property
    def scheduler(self) -> Scheduler: ...
    @property
    def generator(self) -> BatchGenerator: ...
    @property
    def prompt_reader(self) -> PromptReader: ...
    @property
    def model_names(self) -> tuple[str, ...]: ...
    @property
    def context_length(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def describe(self) -> dict[str, Any]:
        """What /stats says about the model; JSON-ready."""


LoadEngine = Callable[[ServerConfig, Callable[[str], None]], LoadedEngine]
"""Runs on the batch thread; the callable takes progress lines. Raises StartupError."""

RequestQueue = SimpleQueue[GenerationRequest | Cancel | None]
Inbox = SimpleQueue[Sequence | Cancel | None]
ResultQueue = SimpleQueue[ResultMessage | Cancel | None]
Deliver = Callable[[list[TextEvent]], None]
