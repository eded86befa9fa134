"""How models write calls: mlx-lm's parsers, the headers that can be streamed, and plain JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from api.text.tokenizer import Tokenizer
from api.text.tool_calls.json_object import valid_json

Parser = Callable[[str, list[dict[str, Any]] | None], Any]
"""A call's text and the tools to one call or a list of them; raises all sorts of things."""

# What may stand between two calls, and what closes the last one.
FILLER = re.compile(r"(?:[\s\]},;]|<\|tool_call_end\|>|<\|call\|>)*")

# A header ends where the arguments, a JSON object, begin; its group is the function's name, and NAMES stands
# for those that may be called. Neighbours never match the same characters: a model may write hundreds of
# blanks, and a header is sought often.
_BEFORE = FILLER.pattern
_JSON_HEADER = (
    _BEFORE + r"(?:<\|python_tag\|>\s*)?(?:\[\s*)?\{\s*"
    r'(?:"type"\s*:\s*"function"\s*,\s*)?'
    r'"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)
_MISTRAL_HEADER = _BEFORE + r"(NAMES)(?:\s*\[CALL_ID\]\s*\w+)?\s*\[ARGS\]\s*(?=\{)"
_KIMI_HEADER = (
    _BEFORE + r"(?:<\|tool_call_begin\|>\s*)?(?:functions\.)?(NAMES):\d+\s*"
    r"<\|tool_call_argument_begin\|>\s*(?=\{)"
)
_HARMONY_HEADER = (
    r"(NAMES)(?:\s*<\|channel\|>\w+)?(?:\s*<\|constrain\|>)?(?:\s*json)?\s*<\|message\|>\s*(?=\{)"
)
_HEADERS_OF_PARSER = {"mistral": (_MISTRAL_HEADER,), "kimi_k2": (_KIMI_HEADER,)}
_JSON_PARSERS = frozenset({"json_tools"})
# These make a call of whatever they are given, so a call that was cut off must not reach them.
_LENIENT_PARSERS = frozenset({"glm47", "laguna", "longcat", "minicpm5", "muse_spark"})

# Where a name stands for the parsers that know less of names than OpenAI: what is before and behind it.
_NAME_PLACES = {
    "function_gemma": (r"(?<=call:)", r"(?=\{)"),
    "gemma4": (r"(?<=call:)", r"(?=\{)"),
    "mistral": (r"(?<![\w.:-])", r"(?=\s*\[ARGS\])"),
    "pythonic": (r"(?<![\w.:-])", r"(?=\s*\()"),
}

_BARE_BEGINS = ('{"name":"', '{"type":"function","name":"')


@dataclass(frozen=True, slots=True)
class ToolCallFormat:
    """Where a call begins and ends, and how to read what is between.

    A body that is ``{"name": ..., "arguments": {...}}`` is understood in every format, so that a
    grammar can ask for it; ``is_json`` says that the model itself writes this.
    """

    begin: str  # empty: a call has no marker and is an answer's first text
    end: str  # empty: a call ends where its text does
    is_json: bool
    parse: Parser
    headers: tuple[str, ...] = (_JSON_HEADER,)
    name_place: tuple[str, str] | None = None  # where ``parse`` needs stand-ins for names
    parses_unclosed: bool = True  # a body without its end marker may still be a whole call

    @property
    def is_bare(self) -> bool:
        return not self.begin

    def headers_of(self, names: Iterable[str]) -> list[re.Pattern[str]]:
        """The expressions for headers of calls of these functions."""
        return [re.compile(header.replace("NAMES", any_of(names))) for header in self.headers]


def match_header(headers: Iterable[re.Pattern[str]], text: str) -> re.Match[str] | None:
    return next((match for header in headers if (match := header.match(text))), None)


def any_of(names: Iterable[str]) -> str:
    """Returns an expression for any of the names, the longest first."""
    return "|".join(map(re.escape, sorted(names, key=len, reverse=True)))


def parse_json_call(text: str, tools: list[dict[str, Any]] | None = None) -> Any:
    """The generic parser. Raises ValueError."""
    return json.loads(valid_json(text.strip().removeprefix("<|python_tag|>")))


STANDARD_FORMAT = ToolCallFormat("<tool_call>", "</tool_call>", is_json=True, parse=parse_json_call)
"""One JSON object between two markers: what ``prompt.py`` asks of models whose template has no tools."""

_BARE_FORMAT = ToolCallFormat("", "", is_json=True, parse=parse_json_call)
_HARMONY_FORMAT = ToolCallFormat(
    " to=functions.",
    "<|call|>",
    is_json=False,
    parse=parse_json_call,
    headers=(_HARMONY_HEADER, _JSON_HEADER),
)


def find_tool_call_format(tokenizer: Tokenizer) -> ToolCallFormat:
    """Returns the format that the model was taught, or the standard one where nothing taught it any."""
    declared = tokenizer.declared_formats
    if not tokenizer.template_support.tools:
        return STANDARD_FORMAT
    if declared.tool_parser is not None and declared.tool_begin:
        return declared_format(declared.tool_begin, declared.tool_end or "", declared.tool_parser)
    if tokenizer.chat_template_mentions("<|channel|>analysis<|message|>"):
        return _HARMONY_FORMAT
    if tokenizer.chat_template_mentions(STANDARD_FORMAT.begin):
        return STANDARD_FORMAT
    return _BARE_FORMAT


def declared_format(begin: str, end: str, parser: Parser) -> ToolCallFormat:
    """Returns the format of one of mlx-lm's parsers."""
    name = parser.__module__.rpartition(".")[2]
    return ToolCallFormat(
        begin,
        end,
        is_json=name in _JSON_PARSERS,
        parse=parser,
        headers=(*_HEADERS_OF_PARSER.get(name, ()), _JSON_HEADER),
        parses_unclosed=name not in _LENIENT_PARSERS,
        name_place=_NAME_PLACES.get(name),
    )


def may_become_bare_call(text: str, max_chars: int) -> bool:
    """Tells whether an answer that begins so may still turn out to be a call without markers."""
    compact = "".join(text.split()).removeprefix("<|python_tag|>").removeprefix("[")
    if len(text) > max_chars:
        return False
    return any(begin.startswith(compact) or compact.startswith(begin) for begin in _BARE_BEGINS)
