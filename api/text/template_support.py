"""What a chat template can write; ``template_probe.py`` finds it out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

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

ArgumentsForm = Literal["object", "either", "text", "json"]
"""A call's arguments: an object; also any text; only text; only the text of an object."""


@dataclass(frozen=True, slots=True)
class TemplateSupport:
    """Which parts of a chat appear in what the template writes."""

    content_parts: frozenset[str] = frozenset()  # roles whose content is read only as a list of parts
    system: bool = False  # as the first message
    late_system: bool = False  # anywhere, and more than one
    developer: bool = False
    late_developer: bool = False
    user_runs: bool = False  # several user messages one after the other
    assistant_runs: bool = False
    opening_answer: bool = False  # a chat that begins with the assistant
    tools: bool = False
    tools_need_system: bool = False  # tools are written into a system message only
    tool_calls: bool = False
    tool_results: bool = False
    content_beside_calls: bool = False
    parallel_calls: bool = False  # several in one message
    arguments: ArgumentsForm = "object"  # of a call
    call_id_length: int | None = None  # some templates refuse ids of any other length

    @property
    def folded(self) -> list[str]:
        """The messages that the template does not take, in words: they are folded into what it takes."""
        words = {
            "system": "system messages",
            "late_system": "later system messages",
            "user_runs": "user messages in a row",
            "assistant_runs": "assistant messages in a row",
            "opening_answer": "an assistant message in the first place",
        }
        missing = [name for name in words if not getattr(self, name)]
        if "system" in missing:
            missing.remove("late_system")
        return [words[name] for name in missing]

    def describe(self) -> str:
        """Returns one line for the log."""
        line = (
            f"Chat template: folds {', '.join(self.folded)}"
            if self.folded
            else "Chat template: takes all messages"
        )
        if self.content_parts:
            line += f"; content as parts for {', '.join(sorted(self.content_parts))}"
        calls = ("tools", "tool_calls", "tool_results")
        native = [name.replace("_", " ") for name in calls if self.tools and getattr(self, name)]
        return f"{line}; writes {', '.join(native) or 'no tools'} itself"

    def fallbacks(self) -> list[TemplateSupport]:
        """Returns itself, then ever less: the probe saw small chats, and this one may be another case."""
        plain = replace(self, late_system=False, late_developer=False, user_runs=False, opening_answer=False)
        strict = replace(plain, assistant_runs=False)
        without_system = replace(strict, system=False, developer=False, tools_need_system=False)
        without_calls = replace(strict, tool_calls=False, tool_results=False)
        least = replace(without_system, tool_calls=False, tool_results=False)
        return list(dict.fromkeys((self, plain, strict, without_system, without_calls, least)))
