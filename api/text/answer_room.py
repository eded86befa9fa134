"""How many tokens an answer may have behind its prompt."""

from __future__ import annotations

from dataclasses import dataclass

from api.errors import ContextLengthError


@dataclass(frozen=True, slots=True)
class AnswerRoom:
    """Limits that a prompt and its answer share, in tokens."""

    context_tokens: int
    memory_tokens: int  # what one sequence may take of the KV memory, at most
    default_max_tokens: int | None  # of an answer whose client names no limit; None: what is left

    def num_tokens(
        self, num_prompt_tokens: int, wanted: int | None, param: str, most: int | None = None
    ) -> int:
        """Of the answer at most; ``param`` is the prompt's field. Raises ContextLengthError for too much.

        ``most``: what the client may have where it names no limit; None: what there is.
        """
        self._check(num_prompt_tokens, 1 if wanted is None else wanted, param)
        if wanted is not None:
            return wanted
        left = min(self.context_tokens, self.memory_tokens) - num_prompt_tokens
        return min(each for each in (left, self.default_max_tokens, most) if each is not None)

    def _check(self, num_prompt_tokens: int, num_answer_tokens: int, param: str) -> None:
        total = num_prompt_tokens + num_answer_tokens
        asked = f"{total} tokens ({num_prompt_tokens} in the {param}, {num_answer_tokens} in the completion)"
        if total > self.context_tokens:
            raise ContextLengthError(
                f"This model's maximum context length is {self.context_tokens} tokens. However, you "
                f"requested {asked}. Please shorten the {param} or the completion.",
                param=param,
            )
        if total > self.memory_tokens:
            raise ContextLengthError(
                f"The server's KV memory holds {self.memory_tokens} tokens of one request. However, you "
                f"requested {asked}. Please shorten them, or ask for a larger --kv-memory.",
                param=param,
            )
