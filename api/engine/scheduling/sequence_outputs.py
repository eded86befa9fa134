"""What a sequence tells of a step: its token, logprobs of its prompt, or how else it ended."""

from __future__ import annotations

from api.engine.sequences.predicted_text import Prediction
from api.engine.sequences.sequence import Sequence
from api.errors import ApiError, OutOfMemoryError, ServerSideError
from api.step_plan import NOTHING_PREDICTED, PredictedTokens, SampledToken, ScoredTokens, StepOutput
from api.types import FinishReason


def token_output(sequence: Sequence, token: SampledToken) -> StepOutput:
    """Of a token that ``sequence`` has received, and that may have ended it."""
    is_answer = sequence.max_tokens > 0  # else the prompt was all that was asked for
    is_eos = is_answer and token.token_id in sequence.eos_token_ids
    reason = None
    if is_eos:
        reason = FinishReason.STOP
    elif len(sequence.token_ids) - sequence.num_prompt_tokens >= sequence.max_tokens:
        reason = FinishReason.LENGTH
    return StepOutput(
        request_id=sequence.request_id,
        token_id=token.token_id if is_answer else None,
        is_text=not is_eos,
        finish_reason=reason,
        choice_index=sequence.choice_index,
        logprobs=token.logprobs if is_answer else None,
        num_cached_tokens=sequence.num_cached_tokens,
        predicted=_predicted(sequence.prediction),
        admitted_seconds=sequence.first_admitted_seconds,
    )


def _predicted(prediction: Prediction | None) -> PredictedTokens:
    if prediction is None:
        return NOTHING_PREDICTED
    return PredictedTokens(prediction.num_accepted, prediction.num_rejected)


def prompt_output(sequence: Sequence, scored: ScoredTokens) -> StepOutput | None:
    """Of prompt tokens that were not scored before; None where all were: the sequence has started again."""
    assert scored.start <= sequence.num_scored, sequence
    new = scored.logprobs[sequence.num_scored - scored.start :]
    if not new:
        return None
    sequence.score(len(new))
    return StepOutput(sequence.request_id, choice_index=sequence.choice_index, prompt_logprobs=new)


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
