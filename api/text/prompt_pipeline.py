"""An answer whose client wants the prompt's tokens, too, each with its logprob."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from api.events import OutputPiece, OutputPipeline, PromptTokens
from api.step_plan import SampledLogprobs
from api.text.detokenizer import IncrementalDetokenizer
from api.text.logprobs import read_logprobs, read_prompt_token
from api.text.tokenizer import Tokenizer

_NOTHING_BEFORE = SampledLogprobs(0.0)


class PromptPipeline:
    """``OutputPipeline`` that begins with the prompt; the answer goes through ``answer``."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        token_ids: Sequence[int],
        answer: OutputPipeline,
        *,
        prefix_text: str = "",
        echoes: bool = False,
    ) -> None:
        """``echoes``: the prompt is part of the answer, whose text then begins with ``prefix_text``."""
        self._tokenizer = tokenizer
        self._detokenizer = IncrementalDetokenizer(tokenizer)
        self._token_ids = token_ids
        self._answer = answer
        self._prefix_text = prefix_text
        self._echoes = echoes
        self._num_read = 0  # tokens of the prompt

    @property
    def is_stopped(self) -> bool:
        return self._answer.is_stopped

    @property
    def has_tool_calls(self) -> bool:
        return self._answer.has_tool_calls

    @property
    def num_reasoning_tokens(self) -> int:
        return self._answer.num_reasoning_tokens

    def feed_prompt(self, logprobs: Sequence[SampledLogprobs]) -> OutputPiece:
        """The next tokens of the prompt; the first one, which has no logprob, comes with those after it."""
        is_first = self._num_read == 0
        scored = (_NOTHING_BEFORE, *logprobs) if is_first else logprobs
        tokens = []
        for each in scored:
            token_id = self._token_ids[self._num_read]
            tokens.append(read_prompt_token(self._tokenizer, self._detokenizer, token_id, each))
            self._detokenizer.feed(token_id)
            self._num_read += 1
        text, self._prefix_text = self._prefix_text, ""
        return OutputPiece(content=text, prompt=PromptTokens(tuple(tokens), has_first=is_first))

    def feed(self, token_id: int, logprobs: SampledLogprobs | None = None) -> OutputPiece:
        return self._after_prompt(self._answer.feed(token_id, logprobs))

    def feed_end(self, token_id: int, logprobs: SampledLogprobs) -> OutputPiece:
        """Who scores an echo counts its tokens from the end: none may be missing."""
        if not self._echoes:
            return OutputPiece()
        end = read_logprobs(self._tokenizer, self._detokenizer, token_id, logprobs)
        return self._after_prompt(OutputPiece(logprobs=(replace(end, adds_text=False),)))

    def flush(self) -> OutputPiece:
        return self._after_prompt(self._answer.flush())

    def _after_prompt(self, piece: OutputPiece) -> OutputPiece:
        """A prompt of one token has no logprobs that would have come before the answer."""
        if self._num_read:
            return piece
        prompt = self.feed_prompt(())
        return replace(piece, content=prompt.content + piece.content, prompt=prompt.prompt)
