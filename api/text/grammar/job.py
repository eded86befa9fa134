"""What is to be compiled for one request, as a plain value that can be sent to another process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from api.errors import InvalidRequestError
from api.text.grammar.tool_grammar import CallMarkers
from api.types import Structure, ToolUse

MAX_JOB_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Markers:
    """The texts around one call; both may be empty."""

    begin: str
    end: str


@dataclass(frozen=True, slots=True)
class GrammarJob:
    """An answer's form, or its calls, or either of the two."""

    structure: Structure | None
    tool_use: ToolUse | None
    markers: Markers

    @property
    def param(self) -> str:
        """The request's field that asks for it."""
        return self.structure.param if self.structure is not None else "tools"

    def to_json(self) -> bytes:
        """Returns equal bytes for equal jobs. Raises InvalidRequestError for what is too large."""
        try:
            data = orjson.dumps(self)
        except (TypeError, RecursionError) as error:  # orjson.JSONEncodeError is a TypeError
            raise self._refusal(f"it cannot be read: {error}") from error
        if len(data) > MAX_JOB_BYTES:
            raise self._refusal(f"it is longer than {MAX_JOB_BYTES} bytes")
        return data

    @classmethod
    def from_json(cls, data: bytes) -> GrammarJob:
        fields: dict[str, Any] = orjson.loads(data)
        structure, tool_use = fields["structure"], fields["tool_use"]
        return cls(
            structure=None if structure is None else Structure(**structure),
            tool_use=None if tool_use is None else ToolUse(**tool_use),
            markers=Markers(**fields["markers"]),
        )

    def _refusal(self, reason: str) -> InvalidRequestError:
        return InvalidRequestError(f"Invalid '{self.param}': {reason}.", param=self.param)


def job_of(structure: Structure | None, tool_use: ToolUse | None, markers: CallMarkers) -> GrammarJob | None:
    """Returns None where the model is free.

    A call that is forced leaves no room for another form; one that is possible leaves the choice. Calls
    that are possible must be right once they begin, if one of the functions is strict.
    """
    plain = Markers(markers.begin, markers.end)
    may_call = tool_use is not None and tool_use.mode == "auto" and bool(tool_use.callable_names)
    if tool_use is not None and tool_use.mode == "required":
        return GrammarJob(None, tool_use, plain)
    if structure is not None:
        return GrammarJob(structure, tool_use if may_call else None, plain)
    if tool_use is not None and may_call and _has_strict_function(tool_use):
        return GrammarJob(None, tool_use, plain)
    return None


def _has_strict_function(tool_use: ToolUse) -> bool:
    functions = (tool["function"] for tool in tool_use.tools)
    return any(each.get("strict") for each in functions if each["name"] in tool_use.callable_names)
