from typing import Any

import pytest

from api.errors import InvalidRequestError
from api.types import ChatPrompt, ToolUse
from tests.http.converting import Convert

SCHEMA = {"type": "object", "properties": {"a": {"type": ["integer", "null"], "default": None}}}


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named(n) for n in names]}}


@pytest.fixture
def to_use(convert: Convert) -> Any:
    def run(**fields: Any) -> ToolUse | None:
        prompt = convert(**fields).prompt
        assert isinstance(prompt, ChatPrompt)
        return prompt.tool_use

    return run


TWO = [tool("f", parameters=SCHEMA), tool("g")]


@pytest.mark.parametrize(
    ("choice", "names", "mode", "allows_parallel"),
    [
        (None, ("f", "g"), "auto", None),
        ("auto", ("f", "g"), "auto", None),
        ("none", (), "none", None),
        ("required", ("f", "g"), "required", None),
        (named("g"), ("g",), "required", False),
        (allowed("auto", "g"), ("g",), "auto", None),
        (allowed("required", "g", "f", "g"), ("g", "f"), "required", None),
    ],
)
def test_choices(
    to_use: Any, choice: object, names: tuple[str, ...], mode: str, allows_parallel: bool | None
) -> None:
    use = to_use(tools=TWO, tool_choice=choice)
    assert (use.callable_names, use.mode, use.allows_parallel) == (names, mode, allows_parallel)
    assert [each["function"]["name"] for each in use.tools] == ["f", "g"]


def test_parallel_calls_can_be_turned_off(to_use: Any) -> None:
    assert to_use(tools=TWO, parallel_tool_calls=False).allows_parallel is False


def test_tool_objects_are_the_clients_without_nulls(to_use: Any) -> None:
    full = tool("f", description="d", parameters=SCHEMA, strict=True)
    sparse = tool("g", description=None, strict=None)
    nothing = {"type": "object", "properties": {}, "additionalProperties": False}
    assert to_use(tools=[full, sparse]).tools == (full, tool("g", parameters=nothing))


@pytest.mark.parametrize(
    ("choice", "names", "mode"),
    [
        (None, ("f",), "auto"),
        ("auto", ("f",), "auto"),
        ("none", (), "none"),
        ({"name": "f"}, ("f",), "required"),
    ],
)
def test_functions_are_tools_of_an_older_form(
    to_use: Any, choice: object, names: tuple[str, ...], mode: str
) -> None:
    use = to_use(functions=[{"name": "f", "parameters": SCHEMA}], function_call=choice)
    assert use == ToolUse((tool("f", parameters=SCHEMA),), names, mode, allows_parallel=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": named("f")}, "tool_choice"),
        ({"tool_choice": named("x"), "tools": TWO}, "tool_choice"),
        ({"tool_choice": allowed("auto", "x"), "tools": TWO}, "tool_choice"),
        ({"tools": TWO, "functions": [{"name": "f"}]}, "functions"),
        ({"tools": TWO, "function_call": {"name": "f"}}, "function_call"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"functions": [{"name": "f"}], "function_call": {"name": "x"}}, "function_call"),
        ({"functions": [{"name": "f"}], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [tool("f"), tool("f")]}, "tools[1].function.name"),
        ({"functions": [{"name": "f"}, {"name": "f"}]}, "functions[1].name"),
    ],
)
def test_contradictions(to_use: Any, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        to_use(**fields)
    assert (caught.value.param, caught.value.status) == (param, 400)
