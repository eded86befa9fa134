"""For every row of the compatibility table, a request that uses the field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Example:
    """``changes`` use the field; ``context`` is what the request has with and without it."""

    changes: JSON
    context: JSON = field(default_factory=dict)
    is_constant: bool = False  # only one value is possible, or all mean the same


FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
OTHER_FUNCTION = {"name": "g"}
TOOL = {"type": "function", "function": FUNCTION}
OTHER_TOOL = {"type": "function", "function": OTHER_FUNCTION}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USER = {"role": "user", "content": "hi"}
RESULT = {"role": "tool", "content": "4", "tool_call_id": "call_1"}
PREFILL = {"messages": [USER, {"role": "assistant", "content": "I"}]}
SCHEMA = {"type": "object"}


def _messages(*messages: JSON) -> JSON:
    return {"messages": list(messages)}


def _message(before: JSON, **changes: Any) -> Example:
    return Example(_messages(before | changes, USER), _messages(before, USER))


def _last_message(before: JSON, **changes: Any) -> Example:
    return Example(_messages(USER, before | changes), _messages(USER, before))


def _part(
    part: JSON, before: JSON | None = None, *, role: str = "user", is_constant: bool = False
) -> Example:
    before = before or {"type": "text", "text": "x"}
    bodies = [_messages({"role": role, "content": [each]}, USER) for each in (part, before)]
    return Example(bodies[0], bodies[1], is_constant)


def _tool_call(**changes: Any) -> Example:
    calls = [[CALL | changes], [CALL]]
    first, second = (_messages(USER, {"role": "assistant", "tool_calls": each}, RESULT) for each in calls)
    return Example(first, second, is_constant=first == second)


def _format(value: JSON, before: JSON | None = None, *, is_constant: bool = False) -> Example:
    context = {"response_format": before} if before else {}
    return Example({"response_format": value}, context, is_constant)


def _json_schema(**changes: Any) -> JSON:
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA} | changes}


SHARED = {
    "frequency_penalty": Example({"frequency_penalty": 0.5}),
    "logit_bias": Example({"logit_bias": {"5": -100}}),
    "max_tokens": Example({"max_tokens": 5}),
    "model": Example({"model": "org/tiny"}),
    "n": Example({"n": 2}),
    "presence_penalty": Example({"presence_penalty": -0.5}),
    "seed": Example({"seed": 2}),
    "stop": Example({"stop": ["x"]}),
    "stream": Example({"stream": True}),
    "stream_options": Example({"stream_options": {"include_usage": True}}, {"stream": True}),
    "temperature": Example({"temperature": 0.5}),
    "top_p": Example({"top_p": 0.5}),
    "user": Example({"user": "u"}),
}

CHAT = SHARED | {
    "audio": Example({"audio": {"voice": "x", "format": "wav"}}),
    "function_call": Example({"function_call": {"name": "f"}}, {"functions": [FUNCTION]}),
    "functions": Example({"functions": [FUNCTION]}),
    "logprobs": Example({"logprobs": True}),
    "max_completion_tokens": Example({"max_completion_tokens": 5}, {"max_tokens": 6}),
    "messages": Example({"messages": [USER, USER]}),
    "metadata": Example({"metadata": {"a": "b"}}),
    "modalities": Example({"modalities": ["text", "audio"]}),
    "moderation": Example({"moderation": {"model": "m"}}),
    "parallel_tool_calls": Example({"parallel_tool_calls": False}, {"tools": [TOOL]}),
    "prediction": Example({"prediction": {"type": "content", "content": "x"}}),
    "prompt_cache_key": Example({"prompt_cache_key": "x"}),
    "prompt_cache_options": Example({"prompt_cache_options": {"ttl": "5m"}}),
    "prompt_cache_retention": Example({"prompt_cache_retention": "24h"}),
    "reasoning_effort": Example({"reasoning_effort": "high"}),
    "response_format": _format({"type": "json_object"}),
    "safety_identifier": Example({"safety_identifier": "x"}),
    "service_tier": Example({"service_tier": "flex"}),
    "store": Example({"store": True}),
    "tool_choice": Example({"tool_choice": "required"}, {"tools": [TOOL]}),
    "tools": Example({"tools": [TOOL]}),
    "top_logprobs": Example({"top_logprobs": 3}, {"logprobs": True}),
    "verbosity": Example({"verbosity": "low"}),
    "web_search_options": Example({"web_search_options": {}}),
}

COMPLETIONS = SHARED | {
    "best_of": Example({"best_of": 3}),
    "echo": Example({"echo": True}),
    "logprobs": Example({"logprobs": 2}),
    "prompt": Example({"prompt": [[1, 2], [3]]}),
    "suffix": Example({"suffix": "x"}),
}

SHARED_EXTENSIONS = {
    "cache_prompt": Example({"cache_prompt": False}),
    "cache_salt": Example({"cache_salt": "x"}),
    "extra_key": Example({"extra_key": "x"}),
    "ebnf": Example({"ebnf": 'root ::= "a"'}),
    "format": Example({"format": "json"}),
    "grammar": Example({"grammar": 'root ::= "a"'}),
    "guided_decoding": Example({"guided_decoding": {"regex": "a+"}}),
    "guided_json_object": Example({"guided_json_object": True}),
    "json_schema": Example({"json_schema": SCHEMA}),
    "max_new_tokens": Example({"max_new_tokens": 5}),
    "min_new_tokens": Example({"min_new_tokens": 5}),
    "n_predict": Example({"n_predict": 5}),
    "no_stop_trim": Example({"no_stop_trim": True}),
    "prompt_cache_isolation_key": Example({"prompt_cache_isolation_key": "x"}),
    "prompt_logprobs": Example({"prompt_logprobs": 1}),
    "regex": Example({"regex": "a+"}),
    "usage": Example({"usage": {"include": True}}, {"stream": True}),
    "id_slot": Example({"id_slot": 3}),
    "n_cache_reuse": Example({"n_cache_reuse": 256}),
    "priority": Example({"priority": -1}),
    "guided_choice": Example({"guided_choice": ["a", "b"]}),
    "guided_grammar": Example({"guided_grammar": 'start: "a"'}),
    "guided_json": Example({"guided_json": SCHEMA}),
    "guided_regex": Example({"guided_regex": "a+"}),
    "ignore_eos": Example({"ignore_eos": True}),
    "include_stop_str_in_output": Example({"include_stop_str_in_output": True}),
    "min_p": Example({"min_p": 0.1}),
    "min_tokens": Example({"min_tokens": 3}),
    "repeat_penalty": Example({"repeat_penalty": 1.1}),
    "repetition_penalty": Example({"repetition_penalty": 1.1}),
    "stop_token_ids": Example({"stop_token_ids": [5]}),
    "structured_outputs": Example({"structured_outputs": {"regex": "a+"}}),
    "top_k": Example({"top_k": 5}),
}

CHAT_EXTENSIONS = SHARED_EXTENSIONS | {
    "add_generation_prompt": Example(
        {"add_generation_prompt": False, "continue_final_message": True}, PREFILL
    ),
    "chat_template_kwargs": Example({"chat_template_kwargs": {"a": 1}}),
    "continue_final_message": Example({"continue_final_message": True}, PREFILL),
    "enable_thinking": Example({"enable_thinking": False}),
    "include_reasoning": Example({"include_reasoning": False}),
    "reasoning": Example({"reasoning": {"effort": "low"}}),
    "think": Example({"think": True}),
    "thinking": Example({"thinking": {"type": "disabled"}}),
    "thinking_budget": Example({"thinking_budget": 9}),
    "thinking_budget_tokens": Example({"thinking_budget_tokens": 9}),
    "thinking_token_budget": Example({"thinking_token_budget": 9}),
}

COMPLETION_EXTENSIONS = SHARED_EXTENSIONS | {
    "add_special_tokens": Example({"add_special_tokens": False}),
    "max_completion_tokens": Example({"max_completion_tokens": 5}),
    "response_format": _format({"type": "json_object"}),
}


def _plain(role: str, other_role: str) -> dict[str, Example]:
    before = {"role": role, "content": "x"}
    return {
        "content": _message(before, content="y"),
        "images": _message(before, images=["x"]),
        "name": _message(before, name="bob"),
        "role": _message(before, role=other_role),
        "tools": _message(before, tools=[TOOL]),
    }


ASSISTANT = {"role": "assistant", "content": "x"}
FUNCTION_RESULT = {"role": "function", "content": "x", "name": "f"}
NAMED = {"type": "function", "function": {"name": "f"}}
NAMED_OTHER = {"type": "function", "function": {"name": "g"}}
TOOLS = {"tools": [TOOL, OTHER_TOOL]}
CUSTOM_TOOL = {"tools": [{"type": "custom", "custom": {"name": "c"}}]}
CUSTOM_CALL = {"id": "1", "type": "custom", "custom": {"name": "c", "input": "x"}}
CUSTOM_CALLS = _messages(USER, {"role": "assistant", "tool_calls": [CUSTOM_CALL]}, USER)
CUSTOM_CHOICE = {"tool_choice": {"type": "custom", "custom": {"name": "c"}}}
IMAGE = {"type": "image_url", "image_url": {"url": "http://x"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
FILE = {"type": "file", "file": {"file_id": "x"}}
BREAKPOINT = {"prompt_cache_breakpoint": {"mode": "explicit"}}


def _allowed(mode: str, *tools: JSON) -> JSON:
    chosen = {"mode": mode, "tools": list(tools)}
    return {"tool_choice": {"type": "allowed_tools", "allowed_tools": chosen}}


def _function(legacy: bool, **changes: Any) -> Example:
    def body(function: JSON) -> JSON:
        return (
            {"functions": [function]} if legacy else {"tools": [{"type": "function", "function": function}]}
        )

    return Example(body(FUNCTION | changes), body(FUNCTION))


def _media(part: JSON, name: str) -> dict[str, Example]:
    return {
        "prompt_cache_breakpoint": _part({"type": "text", "text": "x"} | BREAKPOINT),
        name: _part(part),
        "type": _part(part),
    }


OBJECTS: dict[str, dict[str, Example]] = {
    "system message": _plain("system", "user"),
    "developer message": _plain("developer", "user"),
    "user message": _plain("user", "system"),
    "assistant message": {
        "annotations": _message(ASSISTANT, annotations=[]),
        "audio": _message(ASSISTANT, audio={"id": "x"}),
        "content": _message(ASSISTANT, content="y"),
        "function_call": _message(ASSISTANT, function_call={"name": "f", "arguments": "{}"}),
        "name": _message(ASSISTANT, name="bob"),
        "partial": _last_message(ASSISTANT, partial=True),
        "prefix": _last_message(ASSISTANT, prefix=True),
        "reasoning": _message(ASSISTANT, reasoning="because"),
        "reasoning_details": _message(ASSISTANT, reasoning_details=[]),
        "reasoning_content": _message(ASSISTANT, reasoning_content="because"),
        "refusal": Example(_messages({"role": "assistant", "content": None, "refusal": "no"}, USER)),
        "role": _message(ASSISTANT, role="user"),
        "tool_calls": _message(ASSISTANT, tool_calls=[CALL]),
    },
    "tool message": {
        "content": _message(RESULT, content="5"),
        "name": _message(RESULT, name="f"),
        "role": Example(_messages(USER, RESULT)),
        "tool_call_id": _message(RESULT, tool_call_id="call_2"),
    },
    "function message": {
        "content": _message(FUNCTION_RESULT, content="y"),
        "name": _message(FUNCTION_RESULT, name="g"),
        "role": Example(_messages(USER, FUNCTION_RESULT)),
    },
    "text part": {
        "cache_control": _part({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}),
        "prompt_cache_breakpoint": _part({"type": "text", "text": "x"} | BREAKPOINT),
        "text": _part({"type": "text", "text": "y"}),
        "type": _part({"type": "text", "text": "x"}, is_constant=True),
    },
    "refusal part": {
        "refusal": _part({"type": "refusal", "refusal": "no"}, role="assistant"),
        "type": _part({"type": "refusal", "refusal": "x"}, role="assistant", is_constant=True),
    },
    "image part": _media(IMAGE, "image_url"),
    "audio part": _media(AUDIO, "input_audio"),
    "file part": _media(FILE, "file"),
    "tool call": {
        "function": _tool_call(function={"name": "f", "arguments": '{"a": 1}'}),
        "id": _tool_call(id="call_9"),
        "type": _tool_call(type="function"),
    },
    "custom tool call": dict.fromkeys(("custom", "id", "type"), Example(CUSTOM_CALLS)),
    "tool": {
        "cache_control": Example({"tools": [TOOL | {"cache_control": {}}]}, {"tools": [TOOL]}),
        "defer_loading": Example({"tools": [TOOL | {"defer_loading": True}]}),
        "function": Example({"tools": [OTHER_TOOL]}, {"tools": [TOOL]}),
        "type": Example({"tools": [TOOL]}),
    },
    "custom tool": {"custom": Example(CUSTOM_TOOL), "type": Example(CUSTOM_TOOL)},
    "function": {
        "description": _function(False, description="d"),
        "name": _function(False, name="g"),
        "parameters": _function(False, parameters=None),
        "defer_loading": _function(False, defer_loading=True),
        "strict": _function(False, strict=True),
    },
    "legacy function": {
        "description": _function(True, description="d"),
        "name": _function(True, name="g"),
        "parameters": _function(True, parameters=None),
    },
    "tool choice": {
        "function": Example({"tool_choice": NAMED_OTHER}, TOOLS | {"tool_choice": NAMED}),
        "type": Example({"tool_choice": NAMED}, TOOLS),
    },
    "custom tool choice": {"custom": Example(CUSTOM_CHOICE), "type": Example(CUSTOM_CHOICE)},
    "allowed tools choice": {
        "allowed_tools": Example(_allowed("auto", NAMED), TOOLS),
        "type": Example(_allowed("auto", NAMED), TOOLS),
    },
    "allowed tools": {
        "mode": Example(_allowed("required", NAMED), TOOLS | _allowed("auto", NAMED)),
        "tools": Example(_allowed("auto", NAMED_OTHER), TOOLS | _allowed("auto", NAMED)),
    },
    "legacy function choice": {"name": Example({"function_call": {"name": "f"}}, {"functions": [FUNCTION]})},
    "text format": {"type": _format({"type": "text"}, is_constant=True)},
    "JSON object format": {"type": _format({"type": "json_object"})},
    "JSON schema format": {"json_schema": _format(_json_schema()), "type": _format(_json_schema())},
    "JSON schema": {
        "description": _format(_json_schema(description="d"), _json_schema()),
        "name": _format(_json_schema(name="m"), _json_schema()),
        "schema": _format(_json_schema(schema={"type": "array"}), _json_schema()),
        "strict": _format(_json_schema(strict=True), _json_schema(), is_constant=True),
    },
    "forms of local servers": {
        "grammar": _format({"type": "grammar", "grammar": 'start: "a"'}),
        "pattern": _format({"type": "regex", "pattern": "a+"}),
        "schema": _format({"type": "json_object", "schema": {"type": "array"}}, {"type": "json_object"}),
        "type": _format({"type": "json", "value": SCHEMA}),
        "value": _format({"type": "regex", "value": "a+"}),
    },
    "structured outputs": {
        name: Example({"structured_outputs": {"json_object": True, name: value}})
        for name, value in {"structural_tag": {}, "whitespace_pattern": " "}.items()
    }
    | {
        name: Example(
            {"structured_outputs": {"json_object": True, name: value}},
            {"structured_outputs": {"json_object": True}},
        )
        for name, value in {
            "backend": "xgrammar",
            "disable_additional_properties": True,
            "disable_any_whitespace": True,
            "disable_fallback": True,
        }.items()
    }
    | {
        name: Example({"structured_outputs": {name: value}})
        for name, value in {
            "choice": ["a"],
            "grammar": 'start: "a"',
            "json": SCHEMA,
            "json_object": True,
            "regex": "a+",
        }.items()
    },
    "prediction": {
        "content": Example(*({"prediction": {"type": "content", "content": text}} for text in "xy")),
        "type": Example({"prediction": {"type": "content", "content": ""}}, is_constant=True),
    },
    "stream options": {
        "continuous_usage_stats": Example(
            {"stream_options": {"continuous_usage_stats": True}}, {"stream": True}
        ),
        "include_obfuscation": Example({"stream_options": {"include_obfuscation": True}}, {"stream": True}),
        "include_usage": Example({"stream_options": {"include_usage": True}}, {"stream": True}),
    },
}
