"""What a chat template can write, found out by letting it write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError

# What rendering raises for messages it was not written for. Templates come with the model and run
# in a sandbox, so a failure says that these messages do not suit them, not that the server is broken.
TEMPLATE_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)

Render = Callable[[Sequence[dict[str, Any]], Sequence[dict[str, Any]] | None], str]
"""Messages and tools to text; raises whatever the template raises."""

_MARK = "probe_of_the_"
_SYSTEM, _TOOL, _CALL, _RESULT = (_MARK + name for name in ("system", "tool", "call", "result"))
_USER_MESSAGE = {"role": "user", "content": "Hi"}
_LONG_ID, _SHORT_ID = "call_0123456789abcdef01234567", "abcdef012"


@dataclass(frozen=True, slots=True)
class TemplateSupport:
    """Which parts of a chat appear in what the template writes."""

    system: bool = False
    tools: bool = False
    tool_calls: bool = False
    tool_results: bool = False
    call_id_length: int | None = None  # some templates refuse ids of any other length


def _function(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
    return {
        "type": "function",
        "function": {"name": name, "description": "A function.", "parameters": parameters},
    }


def _call_messages(call_id: str) -> list[dict[str, Any]]:
    call = {"id": call_id, "type": "function", "function": {"name": _CALL, "arguments": {"key": "value"}}}
    return [
        _USER_MESSAGE,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": _RESULT, "tool_call_id": call_id, "name": _CALL},
    ]


def find_template_error(render: Render) -> str | None:
    """Returns what is wrong with a template that no messages can be rendered with; None where it is well."""
    try:
        render([_USER_MESSAGE], None)
    except TemplateSyntaxError as error:
        return f"line {error.lineno}: {error.message}"
    except (TemplateError, *TEMPLATE_FAILURES):
        pass  # these messages do not suit it; others may
    return None


def probe_template(render: Render) -> TemplateSupport:
    """Returns what the template supports; it is asked a few times, with the smallest of chats."""

    def rendered(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> str:
        try:
            return render(messages, tools)
        except (TemplateError, *TEMPLATE_FAILURES):
            return ""

    system = rendered([{"role": "system", "content": _SYSTEM}, _USER_MESSAGE])
    tools = [_function(_TOOL)]
    has_tools = _TOOL in rendered([_USER_MESSAGE], tools)
    shown_tools = tools if has_tools else None
    with_long_ids = rendered(_call_messages(_LONG_ID), shown_tools)
    calls = with_long_ids or rendered(_call_messages(_SHORT_ID), shown_tools)
    return TemplateSupport(
        system=_SYSTEM in system,
        tools=has_tools,
        tool_calls=_CALL in calls,
        tool_results=_RESULT in calls,
        call_id_length=len(_SHORT_ID) if calls and not with_long_ids else None,
    )
