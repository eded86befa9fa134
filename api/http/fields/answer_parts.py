"""The parts of answers that several dialects write alike."""

from __future__ import annotations

from api.events import Usage
from api.http.fields.answer_shapes import UsageObject


def usage_object(usage: Usage) -> UsageObject:
    return {
        "prompt_tokens": usage.num_prompt_tokens,
        "completion_tokens": usage.num_completion_tokens,
        "total_tokens": usage.num_total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.num_cached_tokens},
        "completion_tokens_details": {
            "reasoning_tokens": usage.num_reasoning_tokens,
            "accepted_prediction_tokens": usage.num_accepted_prediction_tokens,
            "rejected_prediction_tokens": usage.num_rejected_prediction_tokens,
        },
    }
