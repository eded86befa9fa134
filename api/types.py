"""The vocabulary that the layers and threads share: plain values, no behaviour worth a test.

One named type per hop (see ``server_handler.py`` for the drawing):

* ``GenerationRequest | Cancel``    main       -> processing
* ``Sequence | Cancel``             processing -> batch      (``engine/sequences/sequence.py``)
* ``ResultMessage | Cancel``        processing and batch -> results
* ``list[TextEvent]``               results    -> event loop

The last two are in ``events.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

Report = Callable[[str], None]
"""Takes a line for each step of a start that a person waits for."""


class FinishReason(StrEnum):
    """Why a choice ended. All but the last are OpenAI's wire values; the last never reaches a client."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CANCELLED = "cancelled"


class Grammar(Protocol):
    """A compiled grammar, shared by all that follow it; ``engine/sampling/constraint.py`` uses it."""

    def new_matcher(self) -> Any:
        """A fresh llguidance matcher, at the grammar's start."""


class ThinkingTracker(Protocol):
    """Follows one answer's text in and out of its thinking block; ``engine/sampling/thinking.py`` uses it."""

    @property
    def is_inside(self) -> bool:
        """Whether the block is open."""

    @property
    def is_opening(self) -> bool:
        """Whether there is nothing yet but what may begin the block under a grammar."""

    @property
    def open_text(self) -> str:
        """The text at the end that may begin a marker."""

    @property
    def rest_token_ids(self) -> tuple[int, ...] | None:
        """What the last token has behind the end marker it completed, as tokens; None: it cannot be."""

    @property
    def opening_token_ids(self) -> Items[int]:
        """The tokens that go on with the start marker."""

    @property
    def closing_token_ids(self) -> Items[int]:
        """The token that goes on best with the end marker, and all that complete it; none if it has none."""

    def completing(self) -> Iterator[tuple[int, tuple[int, ...] | None]]:
        """The tokens that would complete the end marker with more behind it, each with that rest."""

    def feed(self, token_id: int) -> None:
        """Takes an answer token."""


class ThinkingText(Protocol):
    """How to find the thinking block in an answer's text, shared by all answers to a prompt."""

    def new_tracker(self) -> ThinkingTracker:
        """A fresh tracker, at the answer's start."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """A thinking block to be followed. A grammar, if there is one, holds outside of the block only."""

    text: ThinkingText
    max_tokens: int | None = None  # tokens in the block before it is closed by force


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to draw the next token. At ``temperature == 0`` top_p, top_k, min_p and seed have no effect.

    Logits are changed in this order: repetition, frequency and presence penalty, bias, what may not be
    sampled (grammar, thinking budget, ends before ``min_tokens``); logprobs are of these, before temperature.
    """

    temperature: float = 1.0
    top_p: float = 1.0  # nucleus mass in (0, 1]; 1 is off
    top_k: int = 0  # candidates kept; 0 is off
    min_p: float = 0.0  # floor relative to the most likely token, in [0, 1]; 0 is off
    seed: int = 0  # always set: the protocol layer draws one for requests that name none
    frequency_penalty: float = 0.0  # per occurrence in the answer so far
    presence_penalty: float = 0.0  # once for each token of the answer so far
    repetition_penalty: float = 1.0  # divides positive logits of tokens in prompt or answer; 1 is off
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token id, added to its logit)
    num_top_logprobs: int | None = None  # None: no logprobs at all
    num_prompt_logprobs: int | None = None  # alternatives to each prompt token; None: no logprobs of it
    min_tokens: int = 0  # answer tokens before one of ``end_token_ids`` may be sampled
    end_token_ids: tuple[int, ...] = ()  # set by the prompt reader
    grammar: Grammar | None = None  # set by the prompt reader
    thinking: Thinking | None = None  # set by the prompt reader, where a grammar or a budget needs it

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0

    @property
    def needs_state(self) -> bool:
        """Whether the tokens before have a say in the next one, beyond the logits."""
        return self.has_penalties or self.is_constrained

    @property
    def has_penalties(self) -> bool:
        has_any = self.frequency_penalty or self.presence_penalty
        return bool(has_any) or self.repetition_penalty != 1.0

    @property
    def is_constrained(self) -> bool:
        has_budget = self.thinking is not None and self.thinking.max_tokens is not None
        return self.grammar is not None or has_budget


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """What a model's authors recommend where a request says nothing; None: nothing."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The functions a model may call, as OpenAI's tool objects, and whether it has to."""

    tools: tuple[dict[str, Any], ...]  # all of the request's: what the prompt shows
    callable_names: tuple[str, ...]  # what may be called
    mode: Literal["none", "auto", "required"] = "auto"
    allows_parallel: bool | None = True  # None: not asked; the prompt reader decides by the model


@dataclass(frozen=True, slots=True)
class Structure:
    """The form that an answer must have."""

    kind: Literal["json_object", "json_schema", "regex", "choice", "lark"]
    value: Any = None  # the schema (a dict or a bool), the expression, the strings, the grammar
    param: str = "response_format"  # the request's field, for error messages

    @property
    def is_json(self) -> bool:
        return self.kind in ("json_object", "json_schema")


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """Messages for the model's chat template."""

    messages: tuple[dict[str, Any], ...]  # as the template reads them; content is a string or None
    continue_final_message: bool = False  # only where it is the assistant's
    tool_use: ToolUse | None = None
    template_options: dict[str, Any] = field(default_factory=dict)  # such as enable_thinking


@dataclass(frozen=True, slots=True)
class TextPrompts:
    """Plain texts or token ids to be continued, each on its own."""

    prompts: tuple[str | tuple[int, ...], ...]
    echo: bool = False  # the answer begins with the prompt
    adds_special_tokens: bool = True  # to texts, as the tokenizer has it


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One validated request, as the HTTP side hands it to the processing thread.

    It has ``num_choices`` answers for each prompt, numbered through: those of the first prompt first.
    """

    request_id: str
    prompt: ChatPrompt | TextPrompts
    sampling: SamplingParams
    num_choices: int = 1  # for each prompt
    max_tokens: int | None = None  # None: the server's default, else as far as the context reaches
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    includes_stop: bool = False  # the stop string stays in the text
    ignores_eos: bool = False
    structure: Structure | None = None
    max_thinking_tokens: int | None = None
    prediction: str = ""  # what the answers will be, mostly: they come faster where they are
    arrival_seconds: float = 0.0  # time.monotonic() at submit
    priority: int = 0  # lower goes first
    client_id: str = ""  # whose fair share of the server this counts against
    x_request_id: str = ""  # the name that its HTTP answer has, for log lines
    cache_salt: str = ""  # prompts share what is cached only with prompts of the same salt
    uses_prefix_cache: bool = True  # False: nothing is looked up for it, and nothing is kept of it

    @property
    def num_sequences(self) -> int:
        num_prompts = len(self.prompt.prompts) if isinstance(self.prompt, TextPrompts) else 1
        return num_prompts * self.num_choices


@dataclass(frozen=True, slots=True)
class Cancel:
    """Forget this request, or one of its choices, wherever it is; unknown and ended ones are ignored."""

    request_id: str
    choice_index: int | None = None  # None: all of them
