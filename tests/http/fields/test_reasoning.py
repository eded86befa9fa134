from typing import Any

import pytest

from api.errors import InvalidRequestError
from api.http.fields.reasoning import shows_reasoning
from api.http.fields.reasoning_shapes import ReasoningFields
from api.types import ChatPrompt
from tests.http.converting import Convert


@pytest.mark.parametrize(
    ("fields", "options", "max_thinking_tokens"),
    [
        ({"think": True}, {"enable_thinking": True}, None),
        ({"think": False}, {"enable_thinking": False}, None),
        ({"think": "high"}, {"reasoning_effort": "high"}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, {"enable_thinking": True}, 9),
        ({"thinking": {"type": "disabled"}}, {"enable_thinking": False}, None),
        ({"thinking": {"type": "auto"}}, {}, None),
        ({"thinking": False}, {"enable_thinking": False}, None),
        ({"reasoning": {"effort": "low", "max_tokens": 5}}, {"reasoning_effort": "low"}, 5),
        ({"reasoning": {"effort": "none"}}, {"reasoning_effort": "none", "enable_thinking": False}, None),
        ({"reasoning": {"enabled": True}}, {"enable_thinking": True}, None),
        ({"reasoning": {"enabled": True}, "think": True, "thinking": True}, {"enable_thinking": True}, None),
        ({"reasoning": {"max_tokens": -1}}, {}, None),
    ],
)
def test_each_name(
    convert: Convert, fields: dict[str, Any], options: dict[str, Any], max_thinking_tokens: int | None
) -> None:
    request = convert(**fields)
    assert isinstance(request.prompt, ChatPrompt)
    assert (request.prompt.template_options, request.max_thinking_tokens) == (options, max_thinking_tokens)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"think": True, "enable_thinking": False}, "think"),
        ({"think": "low", "reasoning_effort": "high"}, "think"),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, "reasoning"),
        (
            {"thinking": {"type": "enabled"}, "chat_template_kwargs": {"enable_thinking": False}},
            "enable_thinking",
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}, "thinking_budget": 6}, "thinking"),
        ({"thinking": {"type": "maybe"}}, "thinking.type"),
        ({"thinking": 1}, "thinking"),
        ({"think": "huge"}, "think"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
    ],
)
def test_what_disagrees_or_is_none(convert: Convert, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        convert(**fields)
    assert caught.value.param == param


def test_whether_the_answer_has_the_reasoning() -> None:
    def shows(**fields: Any) -> bool:
        return shows_reasoning(ReasoningFields.model_validate(fields))

    assert shows() and shows(include_reasoning=True) and shows(reasoning={"exclude": False})
    assert not shows(include_reasoning=False)
    assert not shows(reasoning={"exclude": True})
    with pytest.raises(InvalidRequestError):
        shows(include_reasoning=True, reasoning={"exclude": True})
