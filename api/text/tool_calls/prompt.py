"""Tools in chats for templates that know nothing of them.

The standard tool prompt lists the functions as JSON, one a line, in the system message, and asks for
each call as one JSON object between ``<tool_call>`` and ``</tool_call>``. Calls and results of
earlier turns are written in the same form, a result as a user message in ``<tool_response>``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from api.text.message_folding import INSTRUCTION_ROLES, joined
from api.text.template_support import TemplateSupport
from api.text.tool_calls.formats import STANDARD_FORMAT

Message = dict[str, Any]

_INSTRUCTIONS = """\
You can call functions. These are available, each with a JSON schema of its parameters:
<tools>
{tools}
</tools>

To call a function, write one JSON object with its name and its arguments between {begin} and {end}:
{begin}
{{"name": "function_name", "arguments": {{"parameter": "value"}}}}
{end}
To call several functions, write several such blocks. What a function returns comes back to you between \
<tool_response> and </tool_response>. If no function is needed, answer without calling any."""


def tool_prompt(tools: Iterable[dict[str, Any]]) -> str:
    """Returns the standard tool prompt."""
    lines = (json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    return _INSTRUCTIONS.format(tools="\n".join(lines), begin=STANDARD_FORMAT.begin, end=STANDARD_FORMAT.end)


def with_tool_prompt(messages: Sequence[Message], tools: Iterable[dict[str, Any]]) -> list[Message]:
    """Appends the prompt to the first system message, made if there is none."""
    prompt = tool_prompt(tools)
    first = messages[0] if messages else {}
    if first.get("role") in INSTRUCTION_ROLES:
        return [{**first, "content": joined(first.get("content"), prompt)}, *messages[1:]]
    return [{"role": "system", "content": prompt}, *messages]


def with_plain_roles(messages: Sequence[Message], support: TemplateSupport) -> list[Message]:
    """Writes calls and results as text where the template would leave them out."""
    plain: list[Message] = []
    is_after_result = False
    for message in messages:
        is_result = message.get("role") == "tool" and not (support.tools and support.tool_results)
        if message.get("tool_calls") and not (support.tools and support.tool_calls):
            message = _calls_as_text(message)
        elif is_result:
            message = _result_as_text(message)
        if is_result and is_after_result:  # one message, as many templates want the roles to alternate
            plain[-1]["content"] += "\n" + message["content"]
        else:
            plain.append(message)
        is_after_result = is_result
    return plain


def _calls_as_text(message: Message) -> Message:
    blocks = [message["content"]] if message.get("content") else []
    blocks += [_call_as_text(call["function"]) for call in message["tool_calls"]]
    rest = {key: value for key, value in message.items() if key != "tool_calls"}
    return {**rest, "content": "\n".join(blocks)}


def _call_as_text(function: dict[str, Any]) -> str:
    call = {"name": function["name"], "arguments": function["arguments"]}
    return f"{STANDARD_FORMAT.begin}\n{json.dumps(call, ensure_ascii=False)}\n{STANDARD_FORMAT.end}"


def _result_as_text(message: Message) -> Message:
    return {"role": "user", "content": f"<tool_response>\n{message.get('content') or ''}\n</tool_response>"}
