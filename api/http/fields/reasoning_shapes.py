"""How much a model is to reason, in OpenAI's words and in those of others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from api.http.fields.wire import BOOLEAN_TAG, OBJECT_TAG, STRING_TAG, WireModel, by_json_type

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
ThinkingBudget = Annotated[int, Field(ge=-1)]  # -1: no limit


class Reasoning(WireModel):
    """OpenRouter's."""

    effort: ReasoningEffort | None = None
    enabled: bool | None = None
    max_tokens: ThinkingBudget | None = None
    exclude: bool | None = None


class ThinkingSwitch(WireModel):
    """Anthropic's, DeepSeek's and GLM's; ``adaptive`` and ``auto`` leave it to the model."""

    type: Literal["enabled", "disabled", "adaptive", "auto"]
    budget_tokens: ThinkingBudget | None = None


class ReasoningFields(WireModel):
    reasoning_effort: ReasoningEffort | None = None

    # local extensions
    enable_thinking: bool | None = None
    include_reasoning: bool | None = None
    reasoning: Reasoning | None = None
    think: (
        Annotated[
            Annotated[bool, Tag(BOOLEAN_TAG)] | Annotated[ReasoningEffort, Tag(STRING_TAG)],
            by_json_type("a boolean or a string"),
        ]
        | None
    ) = None
    thinking: (
        Annotated[
            Annotated[bool, Tag(BOOLEAN_TAG)] | Annotated[ThinkingSwitch, Tag(OBJECT_TAG)],
            by_json_type("an object or a boolean"),
        ]
        | None
    ) = None

    # the thinking budget, by the names that are in use for it
    thinking_budget: ThinkingBudget | None = None
    thinking_budget_tokens: ThinkingBudget | None = None
    thinking_token_budget: ThinkingBudget | None = None
