"""The last output of a sequence that ends by something else than its own token."""

from __future__ import annotations

from api.engine.sequence import Sequence
from api.errors import ApiError, OutOfMemoryError, ServerSideError
from api.types import FinishReason, StepOutput

# How MLX says so, in a RuntimeError: its allocators on Metal and CUDA, Metal itself, CUDA itself.
_MEMORY_WORDS = ("malloc]", "unable to allocate", "insufficient memory", "out of memory")


def last_output(
    sequence: Sequence, reason: FinishReason | None = None, error: ApiError | None = None
) -> StepOutput:
    return StepOutput(
        sequence.request_id, finish_reason=reason, error=error, choice_index=sequence.choice_index
    )


def as_api_error(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, MemoryError) or _is_of_memory(error):
        return OutOfMemoryError("The device ran out of memory on this request.")
    return ServerSideError("The model failed on this request.")


def _is_of_memory(error: Exception) -> bool:
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    return any(words in text for words in _MEMORY_WORDS)
