"""llguidance's own form of what a request asks for."""

from __future__ import annotations

import json
import re
from typing import Any

from llguidance import LLMatcher
from llguidance.gbnf_to_lark import GbnfToLarkError, gbnf_to_lark

from api.text.grammar import patterns
from api.text.grammar.errors import GrammarError, SchemaError
from api.text.grammar.json_schema import rewrite
from api.text.grammar.vocabulary import lark_string
from api.types import Structure

MAX_SOURCE_CHARS = 256 * 1024
MAX_CHOICES = 10_000
MAX_RULES = 2_000  # rules and terminals of a grammar: a chain of more is too deep to compile
# JSON without free white space: compact, or one space after a comma and a colon, as json.dumps has it.
# No \uXXXX: a character that can be spelled in two ways would let one key come under two schemas.
JSON_OPTIONS: Any = {
    "whitespace_flexible": False,
    "item_separator": ", ?",
    "key_separator": ": ?",
    "json_allowed_escapes": 'nrbtf\\"',
}
_RULE = re.compile(r"^\s*[?!]?[\w-]+(?:\[[^\]\n]*\])?(?:\.-?\d+)?\s*(?:::=|:)", re.MULTILINE)
KIND_NAMES = {
    "json_object": "schema",
    "json_schema": "schema",
    "regex": "regular expression",
    "choice": "choice",
    "lark": "grammar",
}


def source_of(structure: Structure) -> str:
    """Returns the grammar of a whole answer, not yet compiled. Raises SchemaError and GrammarError."""
    match structure.kind:
        case "json_object" | "json_schema":
            return json_source(schema_of(structure))
        case "regex":
            return _regex_source(structure.value)
        case "choice":
            return _choice_source(structure.value)
    return _lark_source(_text(structure.value))


def dumps(value: Any) -> str:
    """Raises SchemaError for numbers that JSON has not."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:  # NaN
        raise SchemaError(f"it is no JSON: {error}") from error


def _check_size(schema: Any) -> None:
    try:
        size = len(dumps(schema))
    except RecursionError as error:
        raise SchemaError("it is nested too deeply") from error
    if size > MAX_SOURCE_CHARS:
        raise SchemaError(f"it is longer than {MAX_SOURCE_CHARS} characters")


def schema_of(structure: Structure) -> dict[str, Any]:
    """Returns the rewritten schema of JSON answers. Raises SchemaError for one that cannot be enforced."""
    if structure.kind == "json_object":
        return {"type": ["object"]}
    _check_size(structure.value)
    rewritten, definitions = rewrite(structure.value)
    if rewritten is False:
        raise SchemaError("nothing fits it")
    return {**(rewritten if isinstance(rewritten, dict) else {}), "$defs": definitions}


def json_term(schema: Any) -> str:
    """Returns a Lark term for a schema that ``rewrite`` made. Raises SchemaError."""
    return f"%json {dumps({'x-guidance': JSON_OPTIONS, **schema})}"


def json_source(schema: Any) -> str:
    """Returns the source for a schema that ``rewrite`` made."""
    try:
        return LLMatcher.grammar_from_json_schema(dumps(schema), overrides=JSON_OPTIONS)
    except (ValueError, UnicodeEncodeError) as error:
        raise SchemaError(str(error)) from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise GrammarError("it must be a string")
    lark_string(value)  # a lone surrogate would break everything that follows
    return value


def _regex_source(expression: Any) -> str:
    """The whole answer must match, anchors or none."""
    return LLMatcher.grammar_from_regex(f"(?:{patterns.translate(_text(expression))})")


def _lark_source(text: str) -> str:
    """Lark, or the EBNF of llama.cpp and its kin (``root ::= ...``), which is translated."""
    if len(text) > MAX_SOURCE_CHARS:
        raise GrammarError(f"it is longer than {MAX_SOURCE_CHARS} characters")
    if len(_RULE.findall(text)) > MAX_RULES:
        raise GrammarError(f"it has more than {MAX_RULES} rules and terminals")
    try:
        return LLMatcher.grammar_from_lark(gbnf_to_lark(text) if "::=" in text else text)
    except GbnfToLarkError as error:
        raise GrammarError(str(error)) from error
    except RecursionError as error:
        raise GrammarError("it is nested too deeply") from error


def _choice_source(choices: Any) -> str:
    is_list = isinstance(choices, (list, tuple)) and bool(choices)
    if not is_list or not all(isinstance(each, str) for each in choices):
        raise GrammarError("it must be a list of strings")
    if len(choices) > MAX_CHOICES:
        raise GrammarError(f"it has more than {MAX_CHOICES} strings")
    alternatives = " | ".join(map(lark_string, choices))
    return LLMatcher.grammar_from_lark(f"start: CHOICE\nCHOICE: {alternatives}")
