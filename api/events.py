"""What the threads tell each other of answers: from a step's outputs to what a client sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from api.errors import ApiError
from api.step_plan import SampledLogprobs, StepOutput
from api.types import FinishReason


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts, exact."""

    num_prompt_tokens: int
    num_completion_tokens: int
    num_cached_tokens: int = 0  # of the prompt
    num_reasoning_tokens: int = 0  # of the completion
    num_accepted_prediction_tokens: int = 0  # that the completion has followed, of all choices
    num_rejected_prediction_tokens: int = 0  # all others; part of no other number

    @property
    def num_total_tokens(self) -> int:
        return self.num_prompt_tokens + self.num_completion_tokens


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token as a client sees it in ``logprobs``; ``raw`` are its bytes, also of a part of a character."""

    text: str
    raw: bytes
    logprob: float
    top: tuple[TokenLogprob, ...] = ()
    token_id: int = -1  # of a prompt's token; -1: not told
    rank: int = 0  # of a prompt's token among all, 1 being the likeliest; 0: not told
    adds_text: bool = True  # else the text has nothing of it, and ``raw`` may be its name


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """Some of a prompt's tokens, one behind another. The first of all has no logprob: it comes after none."""

    tokens: tuple[TokenLogprob, ...]
    has_first: bool = False


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a call; ``call_id`` and ``name`` come with a call's first piece only."""

    index: int
    arguments: str = ""
    call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class OutputPiece:
    """What became certain of one choice. Text is never a part of a stop string, never half a character."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()  # of content tokens
    prompt: PromptTokens | None = None  # where logprobs of the prompt are wanted; before all content

    def __bool__(self) -> bool:
        return bool(self.content or self.reasoning or self.tool_calls or self.logprobs or self.prompt)


class OutputPipeline(Protocol):
    """Turns one choice's token ids into what its client sees; see ``api/text/output_pipeline.py``."""

    def feed(self, token_id: int, logprobs: SampledLogprobs | None = None) -> OutputPiece:
        """Returns what is certain after this token (may be empty)."""

    def flush(self) -> OutputPiece:
        """Returns what was held back, at the end of a sequence; ``is_stopped`` may turn true by it."""

    @property
    def is_stopped(self) -> bool:
        """True once a stop string was met; no more comes."""

    @property
    def has_tool_calls(self) -> bool: ...

    @property
    def num_reasoning_tokens(self) -> int: ...


@runtime_checkable
class ReadsPrompt(Protocol):
    """An ``OutputPipeline`` whose client wants logprobs of the prompt."""

    def feed_prompt(self, logprobs: Sequence[SampledLogprobs]) -> OutputPiece:
        """Takes the next tokens of the prompt, from the second one on."""

    def feed_end(self, token_id: int, logprobs: SampledLogprobs) -> OutputPiece:
        """Takes the token that ended the answer and is none of its text."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The processing thread accepted a request and hands its output side to the results thread.

    Sent before the ``Sequence``s go to the batch thread, so it precedes every ``StepOutput``.
    """

    request_id: str
    pipelines: tuple[OutputPipeline, ...]  # one for each choice, those of the first prompt first
    num_choices: int  # for each prompt
    num_prompt_tokens: int  # each prompt once
    arrival_seconds: float
    x_request_id: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The processing thread refuses a request; it never reached the batch thread."""

    request_id: str
    error: ApiError
    x_request_id: str = ""


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
class OutputDelta:
    """News of one choice."""

    request_id: str
    choice_index: int
    piece: OutputPiece


@dataclass(frozen=True, slots=True)
class ChoiceFinished:
    """Last event of one choice."""

    request_id: str
    choice_index: int
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Finished:
    """Terminal event of a request that was answered: each of its choices has finished."""

    request_id: str
    finish_reason: FinishReason  # of the choice that ended last
    usage: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """Terminal event of a request that was refused or broke."""

    request_id: str
    error: ApiError
    x_request_id: str = ""


TextEvent = Accepted | OutputDelta | ChoiceFinished | Finished | Failed
