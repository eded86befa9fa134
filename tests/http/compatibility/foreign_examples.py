"""For every row of other servers' fields, a request that uses the field for something.

What asks for nothing is in the tables themselves, as the neutral values of a row.
"""

from __future__ import annotations

from api.http.compatibility.field import Field
from api.http.compatibility.foreign import CHAT_FOREIGN, COMPLETION_FOREIGN
from tests.http.compatibility.field_examples import JSON, Example

_PENALTY: JSON = {"repeat_penalty": 1.2}

# Where neither of the general examples below would do.
_CONTEXTS: dict[str, JSON] = {
    "frequency_context_size": _PENALTY,
    "penalize_nl": _PENALTY,
    "presence_context_size": _PENALTY,
    "repeat_last_n": _PENALTY,
    "repetition_context_size": _PENALTY,
}


def _value_for(field: Field) -> object:
    """Another one than the neutral values, of the kind that they have."""
    example: object = field.neutral[0] if field.neutral else "x"
    match example:
        case bool():
            return not example
        case int():
            return 5
        case str():
            return "x"
        case list():
            return ["x"]
    return {"x": 1}


def _examples(fields: tuple[Field, ...]) -> dict[str, Example]:
    return {
        field.name: Example({field.name: _value_for(field)}, _CONTEXTS.get(field.name, {}))
        for field in fields
    }


CHAT = _examples(CHAT_FOREIGN)
COMPLETIONS = _examples(COMPLETION_FOREIGN)
