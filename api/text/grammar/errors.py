"""Why a grammar cannot be had."""

from __future__ import annotations

from api.errors import InvalidRequestError

_MAX_DETAIL_CHARS = 300


class SchemaError(ValueError):
    """A schema that is malformed, absurd, or asks for what no grammar here can enforce."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{reason} (at {path})" if path else reason)


class GrammarError(ValueError):
    """An expression or a grammar that cannot be compiled."""


_TOO_COMPLEX = ("too many", "too big", "too large", "too complex", "fuel", "current row")


def grammar_error(reason: str) -> GrammarError:
    """Returns what llguidance says in plain words, where its own speak of its insides."""
    if any(sign in reason.lower() for sign in _TOO_COMPLEX):
        return GrammarError("it is too large or too complex")
    if "NoExtension" in reason:
        return GrammarError("no text fits it")
    return GrammarError(reason.replace("json-schema:///", "").replace("<non-verbose/>", ""))


def invalid_request(what: str, error: ValueError, param: str) -> InvalidRequestError:
    """Returns the answer for a client: ``what`` names the thing that was to be compiled."""
    return InvalidRequestError(f"Invalid {what}: {_one_line(str(error))}", param=param)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_DETAIL_CHARS else f"{line[:_MAX_DETAIL_CHARS]}..."
