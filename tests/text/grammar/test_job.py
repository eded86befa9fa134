from __future__ import annotations

from typing import Any

import pytest

from api.errors import InvalidRequestError
from api.text.grammar.job import MAX_JOB_BYTES, GrammarJob, Markers, job_of
from api.types import Structure, ToolUse

MARKERS = Markers("<tool_call>", "</tool_call>")
STRUCTURE = Structure("json_object")


def tool(name: str, *, strict: bool = False) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "strict": strict}}


def use(mode: Any, *names: str, tools: tuple[dict[str, Any], ...] = (tool("a"), tool("b"))) -> ToolUse:
    return ToolUse(tools, names, mode)


STRICT = (tool("a"), tool("b", strict=True))


@pytest.mark.parametrize(
    ("structure", "tool_use"),
    [
        (None, None),
        (None, use("none")),
        (None, use("auto", "a", "b")),
        (None, use("auto", "a", tools=STRICT)),  # the strict one may not be called
    ],
)
def test_a_free_model_needs_no_grammar(structure: Structure | None, tool_use: ToolUse | None) -> None:
    assert job_of(structure, tool_use, MARKERS) is None


@pytest.mark.parametrize(
    ("structure", "tool_use", "expected"),
    [
        (STRUCTURE, None, (True, False)),
        (STRUCTURE, use("none"), (True, False)),
        (STRUCTURE, use("auto"), (True, False)),  # nothing may be called
        (STRUCTURE, use("auto", "a"), (True, True)),
        (STRUCTURE, use("required", "a"), (False, True)),
        (None, use("required", "a"), (False, True)),
        (None, use("auto", "a", "b", tools=STRICT), (False, True)),
    ],
)
def test_what_is_compiled(structure: Structure | None, tool_use: ToolUse | None, expected: Any) -> None:
    job = job_of(structure, tool_use, MARKERS)
    assert job is not None
    assert (job.structure is not None, job.tool_use is not None) == expected


def test_jobs_survive_their_journey_and_equal_ones_look_alike() -> None:
    job = GrammarJob(Structure("choice", ("a", "b"), "guided_choice"), use("auto", "a"), MARKERS)
    sent = job.to_json()
    assert GrammarJob.from_json(sent).to_json() == sent
    assert GrammarJob(Structure("choice", ("b", "a"), "guided_choice"), None, MARKERS).to_json() != sent
    assert GrammarJob.from_json(sent).tool_use == ToolUse(list(job.tool_use.tools), ["a"], "auto")  # type: ignore


@pytest.mark.parametrize("value", ["x" * MAX_JOB_BYTES, "\ud800"], ids=["too large", "no text"])
def test_what_cannot_be_sent_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        GrammarJob(Structure("regex", value, "guided_regex"), None, MARKERS).to_json()
    assert caught.value.param == "guided_regex"


def test_what_is_nested_too_deeply_is_refused() -> None:
    value: Any = {}
    for _ in range(500):
        value = {"items": value}
    with pytest.raises(InvalidRequestError, match="response_format"):
        GrammarJob(Structure("json_schema", value), None, MARKERS).to_json()
