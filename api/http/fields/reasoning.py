"""One meaning for each of the many names that say how a model is to reason."""

from __future__ import annotations

from api.http.fields.reasoning_shapes import Reasoning, ReasoningFields, ThinkingSwitch
from api.http.fields.validation import one_of_names

_SWITCHES = {"enabled": True, "disabled": False}


def reasoning_effort(body: ReasoningFields) -> str | None:
    """Raises InvalidRequestError where two names disagree; so do the others."""
    return one_of_names(
        {
            "reasoning_effort": body.reasoning_effort,
            "reasoning": _reasoning(body).effort,
            "think": body.think if isinstance(body.think, str) else None,
        }
    )


def enables_thinking(body: ReasoningFields) -> bool | None:
    """None leaves it to the model's template."""
    found = one_of_names(
        {
            "enable_thinking": body.enable_thinking,
            "reasoning": _reasoning(body).enabled,
            "think": body.think if isinstance(body.think, bool) else None,
            "thinking": _switch(body),
        }
    )
    return None if found is None else bool(found)


def max_thinking_tokens(body: ReasoningFields) -> int | None:
    """None is no limit."""
    thinking = body.thinking
    budget = one_of_names(
        {
            "thinking_token_budget": body.thinking_token_budget,
            "thinking_budget_tokens": body.thinking_budget_tokens,
            "thinking_budget": body.thinking_budget,
            "reasoning": _reasoning(body).max_tokens,
            "thinking": thinking.budget_tokens if isinstance(thinking, ThinkingSwitch) else None,
        }
    )
    return None if budget is None or budget < 0 else int(budget)


def shows_reasoning(body: ReasoningFields) -> bool:
    """Whether the answer has the reasoning, too."""
    exclude = _reasoning(body).exclude
    included = one_of_names(
        {"include_reasoning": body.include_reasoning, "reasoning": None if exclude is None else not exclude}
    )
    return included is not False


def _reasoning(body: ReasoningFields) -> Reasoning:
    return body.reasoning or Reasoning()


def _switch(body: ReasoningFields) -> bool | None:
    if isinstance(body.thinking, ThinkingSwitch):
        return _SWITCHES.get(body.thinking.type)
    return body.thinking
