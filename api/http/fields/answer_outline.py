"""What is certain of an answer before its first token; all objects of the answer share it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from api.http.fields.generation_shape import GenerationFields
from api.server_handler import ServedModel
from api.types import FinishReason, GenerationRequest


@dataclass(frozen=True, slots=True)
class AnswerOutline:
    response_id: str
    model: str  # the name that the client used
    created_seconds: int
    system_fingerprint: str
    num_choices: int = 1
    includes_usage: bool = False
    includes_logprobs: bool = False
    uses_functions: bool = False  # calls in the form that preceded tool_calls
    shows_reasoning: bool = True
    num_echo_logprobs: int | None = None  # alternatives to the tokens of an echoed prompt; None: none of it
    num_prompt_logprobs: int | None = None  # the same, of a prompt in a field of its own

    @classmethod
    def of(
        cls,
        body: GenerationFields,
        request: GenerationRequest,
        served: ServedModel,
        *,
        uses_functions: bool = False,
        shows_reasoning: bool = True,
        echoes: bool = False,
    ) -> AnswerOutline:
        return cls(
            response_id=request.request_id,
            model=body.model,
            created_seconds=int(time.time()),
            system_fingerprint=served.fingerprint,
            num_choices=request.num_sequences,
            includes_usage=body.includes_usage,
            includes_logprobs=body.num_top_logprobs is not None,
            uses_functions=uses_functions,
            shows_reasoning=shows_reasoning,
            num_echo_logprobs=body.num_top_logprobs if echoes else None,
            num_prompt_logprobs=body.prompt_logprobs,
        )

    def finish_reason(self, reason: FinishReason) -> str:
        if reason is FinishReason.TOOL_CALLS and self.uses_functions:
            return "function_call"
        return reason.value
