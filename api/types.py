"""The vocabulary that the layers and threads share: plain values, no behaviour worth a test.

One named type per hop (see ``server_handler.py`` for the drawing):

* ``GenerationRequest | Cancel``    main       -> processing
* ``Sequence | Cancel``             processing -> batch      (``engine/sequence.py``)
* ``ResultMessage | Cancel``        processing and batch -> results
* ``list[TextEvent]``               results    -> event loop
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from api.errors import ApiError


class FinishReason(StrEnum):
    """Why a sequence ended. The first two are OpenAI's wire values; the last never reaches a client."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to draw the next token. ``temperature == 0`` is greedy; the other fields then have no effect."""

    temperature: float = 1.0
    top_p: float = 1.0  # nucleus mass in (0, 1]; 1 is off
    top_k: int = 0  # candidates kept; 0 is off
    min_p: float = 0.0  # floor relative to the most likely token, in [0, 1]; 0 is off
    seed: int = 0  # always set: the protocol layer draws one for requests that name none

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One validated request, as the HTTP side hands it to the processing thread."""

    request_id: str
    messages: tuple[dict[str, Any], ...]  # role, content (a string) and what else the template may read
    sampling: SamplingParams
    max_tokens: int | None = None  # None: the server's default, else as far as the context reaches
    stop: tuple[str, ...] = ()
    continue_final_message: bool = False
    arrival_seconds: float = 0.0  # time.monotonic() at submit


@dataclass(frozen=True, slots=True)
class Cancel:
    """Forget this request wherever it is; unknown and finished ids are ignored."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts, exact."""

    num_prompt_tokens: int
    num_completion_tokens: int
    num_cached_tokens: int = 0

    @property
    def num_total_tokens(self) -> int:
        return self.num_prompt_tokens + self.num_completion_tokens


# --- the batch thread's plan and outputs -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one sequence's KV: row ``index`` of the arrays of class ``capacity`` (in tokens)."""

    capacity: int
    index: int


@dataclass(frozen=True, slots=True)
class Span:
    """The rows that one sequence has in a step: tokens ``start .. start + num_tokens - 1``."""

    sequence_id: int
    slot: Slot
    start: int  # position of the first token, equal to the tokens computed so far
    token_ids: tuple[int, ...]  # () when the one token is still in flight: the previous step's sample
    samples: bool  # True when the last row's logits give the sequence's next token
    sample_index: int  # how many tokens were sampled before this one: the counter of the seeded stream
    sampling: SamplingParams

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids) or 1


@dataclass(frozen=True, slots=True)
class SlotMove:
    """Copy the first ``num_tokens`` of a sequence's KV to a slot of another class."""

    source: Slot
    target: Slot
    num_tokens: int


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What one forward pass computes. Numbers and ids only, so it can be logged and replayed.

    Applied in the order of the fields: forget what was released, set the number of slots of each
    class, move, then run the spans (single-token spans first).
    """

    spans: tuple[Span, ...] = ()
    released: tuple[int, ...] = ()  # sequence ids whose state may be dropped
    num_slots: tuple[tuple[int, int], ...] = ()  # (class capacity, slots its arrays must have)
    moves: tuple[SlotMove, ...] = ()

    @property
    def num_rows(self) -> int:
        return sum(span.num_tokens for span in self.spans)

    @property
    def num_decode_rows(self) -> int:
        return sum(1 for span in self.spans if span.num_tokens == 1)


@dataclass(frozen=True, slots=True)
class SampledToken:
    """One token as the generator read it."""

    sequence_id: int
    token_id: int


@dataclass(frozen=True, slots=True)
class StepOutput:
    """One request's news after a step. ``finish_reason`` or ``error`` makes it the last one.

    ``token_id`` is None when nothing was sampled (cancelled, failed). A token that ended the
    sequence as an end-of-sequence token is counted but is no text: ``is_text`` is False then.
    """

    request_id: str
    token_id: int | None = None
    is_text: bool = True
    finish_reason: FinishReason | None = None
    error: ApiError | None = None

    @property
    def is_last(self) -> bool:
        return self.finish_reason is not None or self.error is not None


@dataclass(frozen=True, slots=True)
class SchedulerStats:
    """A snapshot; the batch thread publishes one after each step."""

    num_running: int = 0
    num_waiting: int = 0
    kv_used_bytes: int = 0
    kv_reserved_bytes: int = 0
    kv_budget_bytes: int = 0
    num_preemptions: int = 0


# --- towards the client ------------------------------------------------------------------------


class OutputPipeline(Protocol):
    """Turns one request's token ids into text; ``api/text/output_pipeline.py`` has the real one."""

    def feed(self, token_id: int) -> str:
        """Returns the text that is certain after this token (may be empty)."""

    def flush(self) -> str:
        """Returns what was held back, at the end of a sequence; ``is_stopped`` may turn true by it."""

    @property
    def is_stopped(self) -> bool:
        """True once a stop string was met; no more text comes."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The processing thread accepted a request and hands its output side to the results thread.

    Sent before the ``Sequence`` goes to the batch thread, so it precedes every ``StepOutput``.
    """

    request_id: str
    pipeline: OutputPipeline
    num_prompt_tokens: int
    arrival_seconds: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """The processing thread refuses a request; it never reached the batch thread."""

    request_id: str
    error: ApiError


@dataclass(frozen=True, slots=True)
class StepOutputs:
    """All outputs of one step, together, so that the event loop is woken once."""

    outputs: list[StepOutput] = field(default_factory=list)


ResultMessage = Opened | Rejected | StepOutputs


@dataclass(frozen=True, slots=True)
class Accepted:
    """First event of a good request: the prompt was tokenised and waits for the batch."""

    request_id: str
    num_prompt_tokens: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text that is final: never a part of a stop string, never half a character."""

    request_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Terminal event of a request that was answered."""

    request_id: str
    finish_reason: FinishReason
    usage: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """Terminal event of a request that was refused or broke."""

    request_id: str
    error: ApiError


TextEvent = Accepted | TextDelta | Finished | Failed
