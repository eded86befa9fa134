"""From a request to a sequence: chat template, tokens, and whether they fit. Processing thread only."""

from __future__ import annotations

import itertools

from api.engine.sequence import Sequence
from api.errors import ContextLengthError, InvalidRequestError
from api.text.chat_template import render_chat
from api.text.output_pipeline import TextPipeline
from api.text.tokenizer import Tokenizer
from api.types import GenerationRequest, OutputPipeline


class PromptReader:
    """Gives each request the two halves of its life: a ``Sequence`` and an ``OutputPipeline``."""

    def __init__(
        self, tokenizer: Tokenizer, *, context_length: int, memory_tokens: int, default_max_tokens: int | None
    ) -> None:
        """``memory_tokens``: what one sequence may take of the KV memory, at most."""
        self._tokenizer = tokenizer
        self._context_length = context_length
        self._memory_tokens = memory_tokens
        self._default_max_tokens = default_max_tokens
        self._sequence_ids = itertools.count(1)

    def read(self, request: GenerationRequest) -> tuple[Sequence, OutputPipeline]:
        """Raises ApiError for messages that the template refuses and for prompts that do not fit."""
        token_ids = render_chat(
            self._tokenizer, request.messages, continue_final_message=request.continue_final_message
        )
        if not token_ids:
            raise InvalidRequestError("The messages give an empty prompt.", param="messages")
        sequence = Sequence(
            sequence_id=next(self._sequence_ids),
            request_id=request.request_id,
            token_ids=token_ids,
            num_prompt_tokens=len(token_ids),
            max_tokens=self._max_tokens(request, len(token_ids)),
            sampling=request.sampling,
            eos_token_ids=self._tokenizer.eos_token_ids,
            arrival_seconds=request.arrival_seconds,
        )
        pipeline = TextPipeline(
            self._tokenizer, request.stop, continues_text=request.continue_final_message
        )
        return sequence, pipeline

    def _max_tokens(self, request: GenerationRequest, num_prompt_tokens: int) -> int:
        room = min(self._context_length, self._memory_tokens) - num_prompt_tokens
        if request.max_tokens is not None:
            self._check_fits(num_prompt_tokens, request.max_tokens)
            return request.max_tokens
        self._check_fits(num_prompt_tokens, 1)
        return room if self._default_max_tokens is None else min(room, self._default_max_tokens)

    def _check_fits(self, num_prompt_tokens: int, max_tokens: int) -> None:
        wanted = num_prompt_tokens + max_tokens
        asked = f"{wanted} tokens ({num_prompt_tokens} in the messages, {max_tokens} in the completion)"
        if wanted > self._context_length:
            raise ContextLengthError(
                f"This model's maximum context length is {self._context_length} tokens. However, you "
                f"requested {asked}. Please shorten the messages or the completion.",
                param="messages",
            )
        if wanted > self._memory_tokens:
            raise ContextLengthError(
                f"The server's KV memory holds {self._memory_tokens} tokens of one request. However, you "
                f"requested {asked}. Please shorten them, or ask for a larger --kv-memory.",
                param="messages",
            )
