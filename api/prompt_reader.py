"""From a request to sequences: template, tokens, and whether they fit. Several threads may read at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence as Items
from dataclasses import dataclass, replace

from api.engine.sequences.predicted_text import PredictedText, Prediction
from api.engine.sequences.sequence import Sequence
from api.errors import ContextLengthError, InvalidRequestError
from api.events import OutputPipeline
from api.text.answer_form import AnswerForm
from api.text.chat_template import render_chat
from api.text.grammar.job import GrammarJob, job_of
from api.text.length_limits import AnswerRoom, exceeds, max_token_bytes, num_chars
from api.text.output_pipeline import build_pipeline
from api.text.prediction import check_prediction, encode_prediction
from api.text.prompt_pipeline import PromptPipeline
from api.text.reasoning import ReasoningFormat, find_reasoning_format
from api.text.thinking import AnswerThinking, Spell, ThinkingMarkers
from api.text.tokenizer import Tokenizer
from api.text.tool_calls.formats import find_tool_call_format
from api.types import ChatPrompt, GenerationRequest, Grammar, SamplingParams, TextPrompts, Thinking, ToolUse

_NUM_SEEDS = 2**64
_SEED_STEP = 0x9E3779B97F4A7C15  # 2**64 by the golden ratio: multiples are spread evenly


@dataclass(frozen=True, slots=True)
class _Prompt:
    """One prompt in tokens, and how the answer to it begins."""

    token_ids: list[int]
    param: str  # the request's field, for error messages
    prefix_text: str = ""
    continues_text: bool = False
    starts_in_reasoning: bool = False
    reasoning: ReasoningFormat | None = None  # None: the answer is not searched for any


class PromptReader:
    """Gives each choice of a request the halves of its life: a ``Sequence`` and an ``OutputPipeline``."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        spell: Spell,
        context_length: int,
        memory_tokens: int,
        default_max_tokens: int | None,
    ) -> None:
        """``memory_tokens``: what one sequence may take of the KV memory, at most.

        ``spell`` is asked for answers that think before they follow a grammar.
        """
        self._tokenizer = tokenizer
        self._spell = spell
        self._context_length = context_length
        self._room = AnswerRoom(context_length, memory_tokens, default_max_tokens)
        self._reasoning = find_reasoning_format(tokenizer)
        self._thinking_markers = ThinkingMarkers(tokenizer, self._reasoning) if self._reasoning else None
        self._tool_format = find_tool_call_format(tokenizer)
        self._sequence_ids = itertools.count(1)
        token_bytes = max_token_bytes(tokenizer.definition())
        self._max_prompt_bytes = None if token_bytes is None else token_bytes * context_length

    def measure(self, request: GenerationRequest) -> int:
        """Returns the characters to be read, about. Raises ContextLengthError for more than can ever fit."""
        limit = self._max_prompt_bytes
        if limit is not None:
            check_prediction(request.prediction, limit, self._context_length)
        if limit is not None and exceeds(request.prompt, limit):
            raise ContextLengthError(
                f"This model's maximum context length is {self._context_length} tokens. However, your "
                f"{_param_of(request)} has more than {limit} bytes, which no {self._context_length} tokens "
                f"can hold. Please shorten it.",
                param=_param_of(request),
            )
        return num_chars(request.prompt) + len(request.prediction)

    def grammar_job(self, request: GenerationRequest) -> GrammarJob | None:
        """What is to be compiled for the request; None where its answer is free."""
        return job_of(request.structure, self._tool_use(request), self._tool_format)

    def read(
        self, request: GenerationRequest, grammar: Grammar | None = None
    ) -> list[tuple[Sequence, OutputPipeline]]:
        """One pair for each choice, those of the first prompt first; ``grammar`` is that of the job.

        Raises ApiError for messages that the template refuses and for prompts that do not fit.
        """
        prompts = self._prompts(request.prompt, is_structured=grammar is not None)
        predicted = self._predicted(request)
        places = [prompt_index for prompt_index in range(len(prompts)) for _ in range(request.num_choices)]
        choices = [
            self._choice(
                _of_choice(request, choice_index), prompts[prompt_index], prompt_index, choice_index, grammar
            )
            for choice_index, prompt_index in enumerate(places)
        ]
        for sequence, _ in choices:
            sequence.prediction = Prediction(predicted) if predicted is not None else None
        return choices

    def _predicted(self, request: GenerationRequest) -> PredictedText | None:
        if not request.prediction:
            return None
        return PredictedText(encode_prediction(self._tokenizer, request.prediction, self._context_length))

    def _choice(
        self,
        request: GenerationRequest,
        prompt: _Prompt,
        prompt_index: int,
        choice_index: int,
        grammar: Grammar | None,
    ) -> tuple[Sequence, OutputPipeline]:
        sequence = self._sequence(request, prompt, prompt_index, choice_index, grammar)
        return sequence, self._pipeline(request, prompt, grammar)

    def tokenize(self, text: str, add_special_tokens: bool) -> list[int]:
        """Raises InvalidRequestError for lone surrogates."""
        try:
            return self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        except UnicodeEncodeError as error:
            raise InvalidRequestError("The prompt has a lone surrogate.", param="prompt") from error

    def tokenize_chat(self, prompt: ChatPrompt) -> list[int]:
        """Raises ApiError where the template refuses the messages."""
        return render_chat(self._tokenizer, prompt).token_ids

    def detokenize(self, token_ids: Items[int]) -> str:
        """The text with its special tokens. Raises InvalidRequestError for ids beyond the vocabulary."""
        self._check_ids(token_ids, "tokens")
        return self._tokenizer.decode(token_ids, skip_special_tokens=False)

    # --- the prompts -----------------------------------------------------------------------------

    def _prompts(self, prompt: ChatPrompt | TextPrompts, is_structured: bool) -> list[_Prompt]:
        if isinstance(prompt, ChatPrompt):
            return [self._chat(prompt, is_structured)]
        return [self._text(text, prompt) for text in prompt.prompts]

    def _chat(self, prompt: ChatPrompt, is_structured: bool) -> _Prompt:
        rendered = render_chat(self._tokenizer, prompt)
        token_ids, reasoning = rendered.token_ids, self._reasoning
        if is_structured and reasoning is not None and reasoning.has_headers:
            # A grammar knows no headers: the answer begins behind that of its content, without reasoning.
            if not prompt.continue_final_message:
                token_ids = [*token_ids, *self._tokenizer.encode(reasoning.content_begins[0])]
            reasoning = None
        if not token_ids:
            raise InvalidRequestError("The messages give an empty prompt.", param="messages")
        return _Prompt(
            token_ids,
            "messages",
            continues_text=prompt.continue_final_message,
            starts_in_reasoning=rendered.ends_in_reasoning,
            reasoning=reasoning,
        )

    def _text(self, prompt: str | tuple[int, ...], prompts: TextPrompts) -> _Prompt:
        echo = prompts.echo
        if isinstance(prompt, str):
            token_ids, text = self.tokenize(prompt, prompts.adds_special_tokens), prompt
        else:
            self._check_ids(prompt, "prompt")
            token_ids, text = list(prompt), self._tokenizer.decode(prompt) if echo else ""
        token_ids = token_ids or self._beginning()
        return _Prompt(token_ids, "prompt", prefix_text=text if echo else "", continues_text=True)

    def _beginning(self) -> list[int]:
        """What stands for an empty prompt: the token that texts begin with, or end with where none does."""
        token_id = self._tokenizer.beginning_token_id
        if token_id is None:
            message = "The prompt is empty, and this model has no token that texts begin with."
            raise InvalidRequestError(message, param="prompt")
        return [token_id]

    def _check_ids(self, token_ids: Items[int], param: str) -> None:
        size = self._tokenizer.vocab_size
        bad = next((i for i in token_ids if not 0 <= i < size), None)
        if bad is not None:
            raise InvalidRequestError(f"Token id {bad} is not in the vocabulary of {size}.", param=param)

    # --- the answers -----------------------------------------------------------------------------

    def _sequence(
        self,
        request: GenerationRequest,
        prompt: _Prompt,
        prompt_index: int,
        choice_index: int,
        grammar: Grammar | None,
    ) -> Sequence:
        ends = frozenset(request.stop_token_ids)
        if not request.ignores_eos or grammar is not None:  # a grammar that is complete allows nothing else
            ends |= self._tokenizer.eos_token_ids
        return Sequence(
            sequence_id=next(self._sequence_ids),
            request_id=request.request_id,
            token_ids=list(prompt.token_ids),
            num_prompt_tokens=len(prompt.token_ids),
            max_tokens=self._room.num_tokens(len(prompt.token_ids), request.max_tokens, prompt.param),
            sampling=self._sampling(request, prompt, choice_index, grammar, ends),
            eos_token_ids=ends,
            arrival_seconds=request.arrival_seconds,
            choice_index=choice_index,
            prompt_index=prompt_index,
            priority=request.priority,
            client_id=request.client_id,
            x_request_id=request.x_request_id,
            cache_salt=request.cache_salt,
            uses_prefix_cache=request.uses_prefix_cache,
        )

    def _sampling(
        self,
        request: GenerationRequest,
        prompt: _Prompt,
        choice_index: int,
        grammar: Grammar | None,
        ends: frozenset[int],
    ) -> SamplingParams:
        """Each choice has a seed of its own, far from those of requests with neighbouring seeds."""
        if request.max_tokens == 0:  # the token that ends the prompt's reading is nobody's
            return SamplingParams(temperature=0.0, num_prompt_logprobs=request.sampling.num_prompt_logprobs)
        return replace(
            request.sampling,
            seed=(request.sampling.seed + choice_index * _SEED_STEP) % _NUM_SEEDS,
            end_token_ids=tuple(sorted(ends)),
            grammar=grammar,
            thinking=self._thinking(request, prompt, grammar),
        )

    def _pipeline(
        self, request: GenerationRequest, prompt: _Prompt, grammar: Grammar | None
    ) -> OutputPipeline:
        shows_tokens = request.sampling.num_prompt_logprobs is not None
        answer = build_pipeline(
            self._tokenizer,
            self._form(request, prompt, grammar),
            stops=request.stop,
            includes_stop=request.includes_stop,
            prefix_text="" if shows_tokens else prompt.prefix_text,
        )
        if not shows_tokens:
            return answer
        return PromptPipeline(
            self._tokenizer,
            prompt.token_ids,
            answer,
            prefix_text=prompt.prefix_text,
            echoes=isinstance(request.prompt, TextPrompts) and request.prompt.echo,
        )

    def _form(self, request: GenerationRequest, prompt: _Prompt, grammar: Grammar | None) -> AnswerForm:
        return AnswerForm(
            continues_text=prompt.continues_text,
            reasoning=prompt.reasoning,
            starts_in_reasoning=prompt.starts_in_reasoning,
            tool_format=self._tool_format,
            tool_use=self._tool_use(request),
            is_structured=grammar is not None,
        )

    def _thinking(
        self, request: GenerationRequest, prompt: _Prompt, grammar: Grammar | None
    ) -> Thinking | None:
        """Only where something depends on it: a grammar waits for the block's end, a budget closes it."""
        markers = self._thinking_markers if prompt.reasoning is not None else None
        if markers is None or (grammar is None and request.max_thinking_tokens is None):
            return None
        text = AnswerThinking(markers, self._form(request, prompt, grammar), self._spell)
        return Thinking(text, request.max_thinking_tokens)

    def _tool_use(self, request: GenerationRequest) -> ToolUse | None:
        """A model that nobody taught tools calls again and again if it must and may, so it calls once."""
        tool_use = request.prompt.tool_use if isinstance(request.prompt, ChatPrompt) else None
        if tool_use is None or tool_use.allows_parallel is not None:
            return tool_use
        is_taught = self._tokenizer.template_support.tools
        return replace(tool_use, allows_parallel=is_taught or tool_use.mode != "required")


def _of_choice(request: GenerationRequest, choice_index: int) -> GenerationRequest:
    """A chat's answer has the prompt's logprobs once, so the other choices find the prompt read."""
    if choice_index == 0 or isinstance(request.prompt, TextPrompts):
        return request
    return replace(request, sampling=replace(request.sampling, num_prompt_logprobs=None))


def _param_of(request: GenerationRequest) -> str:
    return "messages" if isinstance(request.prompt, ChatPrompt) else "prompt"
