"""Which functions the model may call, from today's fields and from those that preceded them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.errors import InvalidRequestError
from api.http.chat_completions.shape import ChatPromptFields
from api.http.chat_completions.tool_shapes import AllowedToolsChoice, FunctionDefinition, NamedTool
from api.http.compatibility.field import refuse_fields
from api.http.compatibility.objects import OBJECTS
from api.types import ToolUse

_NO_PARAMETERS = {"type": "object", "properties": {}, "additionalProperties": False}


def to_tool_use(body: ChatPromptFields) -> ToolUse | None:
    """Returns None where there is nothing to call; raises InvalidRequestError for contradictions."""
    if body.tools and body.functions:
        raise InvalidRequestError("'functions' cannot be combined with 'tools'.", param="functions")
    if body.functions:
        _check_choice(body.tool_choice, "tool_choice", "tools")
        return _legacy_tool_use(body, body.functions)
    _check_choice(body.function_call, "function_call", "functions")
    if not body.tools:
        _check_choice(body.tool_choice, "tool_choice", "tools")
        return None
    for index, tool in enumerate(body.tools):
        refuse_fields(tool, OBJECTS["tool"], f"tools[{index}].")
        refuse_fields(tool.function, OBJECTS["function"], f"tools[{index}].function.")
    return _tool_use(body, [tool.function for tool in body.tools])


def _check_choice(choice: object, param: str, needed: str) -> None:
    if choice not in (None, "none", "auto"):
        raise InvalidRequestError(f"'{param}' needs '{needed}' to choose from.", param=param)


def _tool_use(body: ChatPromptFields, functions: Sequence[FunctionDefinition]) -> ToolUse:
    names = _names_of(functions, "tools[{}].function.name")
    tools = tuple(_tool_object(each) for each in functions)
    allows_parallel = body.parallel_tool_calls
    match body.tool_choice:
        case NamedTool(function=function):
            _check_known(function.name, names, "tool_choice")
            return ToolUse(tools, (function.name,), "required", allows_parallel=False)
        case AllowedToolsChoice(allowed_tools=allowed):
            chosen = tuple(dict.fromkeys(tool.function.name for tool in allowed.tools))
            for name in chosen:
                _check_known(name, names, "tool_choice")
            return ToolUse(tools, chosen, allowed.mode, allows_parallel)
        case "none":
            return ToolUse(tools, (), "none", allows_parallel)
        case "required":
            return ToolUse(tools, names, "required", allows_parallel)
    return ToolUse(tools, names, "auto", allows_parallel)


def _legacy_tool_use(body: ChatPromptFields, functions: Sequence[FunctionDefinition]) -> ToolUse:
    names = _names_of(functions, "functions[{}].name")
    tools = tuple(_tool_object(each) for each in functions)
    if body.function_call == "none":
        return ToolUse(tools, (), "none", allows_parallel=False)
    if body.function_call is None or isinstance(body.function_call, str):
        return ToolUse(tools, names, "auto", allows_parallel=False)
    _check_known(body.function_call.name, names, "function_call")
    return ToolUse(tools, (body.function_call.name,), "required", allows_parallel=False)


def _names_of(functions: Sequence[FunctionDefinition], path: str) -> tuple[str, ...]:
    indices: dict[str, int] = {}
    for index, function in enumerate(functions):
        if indices.setdefault(function.name, index) != index:
            param = path.format(index)
            raise InvalidRequestError(f"Invalid '{param}': {function.name!r} is defined twice.", param=param)
    return tuple(indices)


def _check_known(name: str, names: tuple[str, ...], param: str) -> None:
    if name not in names:
        raise InvalidRequestError(f"Invalid '{param}': there is no function {name!r} to call.", param=param)


def _tool_object(function: FunctionDefinition) -> dict[str, Any]:
    """OpenAI's object, without nulls; a function without parameters takes an empty object."""
    parameters = _NO_PARAMETERS if function.parameters is None else function.parameters
    optional = {"description": function.description, "parameters": parameters, "strict": function.strict}
    present = {name: value for name, value in optional.items() if value is not None}
    return {"type": "function", "function": {"name": function.name} | present}
