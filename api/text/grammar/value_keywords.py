"""The keywords of single values: type, numbers, strings, literals."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from api.text.grammar import formats, patterns
from api.text.grammar.decimals import decimal_pattern
from api.text.grammar.errors import GrammarError, SchemaError

# Beyond it a double, which is what JSON numbers are read into, no longer tells integers apart.
MAX_EXACT_INTEGER = 2**53 - 1
# A multiple is enforced by an automaton of as many states as its digits say.
MAX_MULTIPLE = 100_000

_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_LOWER_BOUNDS = ("minimum", "exclusiveMinimum")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum")
_EXCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
# Characters that JSON can only spell as \uXXXX. Such spellings are not generated: they would allow a
# second spelling of every key.
_UNSPELLABLE = re.compile("[\x00-\x07\x0b\x0e-\x1f\x7f\ud800-\udfff]")


class MultipleOf:
    """The common multiple of all divisors of a schema, which may meet in one value."""

    def __init__(self) -> None:
        self._values: list[Decimal] = []

    def add(self, value: int | float, path: str) -> None:
        """Raises SchemaError when the divisors so far are too much for an automaton."""
        self._values.append(Decimal(str(value)))
        exponents = [int(each.normalize().as_tuple().exponent) for each in self._values]
        scale = min(0, *exponents)
        digits = [int(each.scaleb(-scale)) for each in self._values]
        if math.lcm(*digits) > MAX_MULTIPLE or scale < -9:
            raise SchemaError(f"'multipleOf' of {value} is not supported: too many digits", path)


def read_count(node: dict[str, Any], keyword: str, path: str) -> int | None:
    """Returns a non-negative integer, or None where the keyword is absent."""
    value = node.get(keyword)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SchemaError(f"'{keyword}' must be a non-negative integer", path)
    return min(value, 2**31)  # more than any answer holds; the parser's counters are small


def read_types(node: dict[str, Any], path: str) -> dict[str, Any]:
    """Returns ``type`` as a list, or nothing."""
    if "type" not in node:
        return {}
    types = node["type"] if isinstance(node["type"], list) else [node["type"]]
    for each in types:
        if not isinstance(each, str) or each not in _TYPES:
            raise SchemaError(f"'type' {each!r} is unknown", path)
    if not types:
        raise SchemaError("'type' must name a type", path)
    return {"type": list(dict.fromkeys(each for each in types if each != "integer" or "number" not in types))}


def read_numbers(node: dict[str, Any], path: str, multiples: MultipleOf) -> dict[str, Any]:
    """Returns bounds and divisor; bounds beyond exact integers are drawn in."""
    bounds: dict[str, Any] = {}
    for keyword in (*_LOWER_BOUNDS, *_UPPER_BOUNDS):
        if keyword in node and not isinstance(node[keyword], bool):
            bounds[keyword] = _bound(_number(node, keyword, path), keyword, path)
    for exclusive, plain in _EXCLUSIVE.items():
        if node.get(exclusive) is True and plain in bounds:  # draft 4
            bounds[exclusive] = bounds.pop(plain)
    _check_distance(bounds, path)
    if "multipleOf" in node:
        bounds["multipleOf"] = divisor = _number(node, "multipleOf", path)
        if divisor <= 0:
            raise SchemaError("'multipleOf' must be greater than 0", path)
        multiples.add(divisor, path)
    return bounds


def _check_distance(bounds: dict[str, Any], path: str) -> None:
    """An excluded integer is let through where the other bound has the same integer part."""
    low = next((bounds[keyword] for keyword in reversed(_LOWER_BOUNDS) if keyword in bounds), None)
    high = next((bounds[keyword] for keyword in reversed(_UPPER_BOUNDS) if keyword in bounds), None)
    for keyword in _EXCLUSIVE:
        is_integer = keyword in bounds and float(bounds[keyword]).is_integer()
        if is_integer and low is not None and high is not None and high - low < 1:
            raise SchemaError(f"'{keyword}' so close to the other bound is not supported", path)


def _number(node: dict[str, Any], keyword: str, path: str) -> int | float:
    value = node[keyword]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SchemaError(f"'{keyword}' must be a number", path)
    return value


def _bound(value: int | float, keyword: str, path: str) -> int | float:
    drawn_in = max(-MAX_EXACT_INTEGER, min(value, MAX_EXACT_INTEGER))
    is_wider = drawn_in < value if keyword in _LOWER_BOUNDS else drawn_in > value
    if is_wider:
        raise SchemaError(f"'{keyword}' of {value} is beyond exact numbers", path)
    return drawn_in


def read_string(node: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """Returns the constraints of strings; of pattern and format each in one schema of its own."""
    lengths: dict[str, Any] = {
        keyword: count
        for keyword in ("minLength", "maxLength")
        if (count := read_count(node, keyword, path)) is not None
    }
    found = [lengths] if lengths else []
    if "pattern" in node:
        found.append({"pattern": read_pattern(node["pattern"], path)})
    if format_pattern := _format(node, path):
        found.append({"pattern": format_pattern})
    return found


def read_pattern(pattern: Any, path: str) -> str:
    """Returns the expression in llguidance's dialect."""
    if not isinstance(pattern, str):
        raise SchemaError("'pattern' must be a string", path)
    if (decimal := decimal_pattern(pattern)) is not None:
        return decimal
    try:
        return patterns.translate(pattern)
    except GrammarError as error:
        raise SchemaError(f"'pattern': {error}", path) from error


def _format(node: dict[str, Any], path: str) -> str | None:
    """Formats of other types (int32, float, ...) are annotations."""
    name, types = node.get("format"), node.get("type", "string")
    if not isinstance(name, str) or "string" not in (types if isinstance(types, list) else [types]):
        return None
    if name in formats.UNSUPPORTED:
        raise SchemaError(f"'format' {name!r} is not supported", path)
    return formats.pattern_of(name)


def read_literal(node: dict[str, Any], path: str) -> dict[str, Any]:
    """Returns ``const`` and ``enum``, once their values are known to be writable."""
    literals: dict[str, Any] = {}
    if "const" in node:
        _check_literal(node["const"], f"{path}/const")
        literals["const"] = node["const"]
    if "enum" in node:
        if not isinstance(node["enum"], list) or not node["enum"]:
            raise SchemaError("'enum' must be a list of values", path)
        for value in node["enum"]:
            _check_literal(value, f"{path}/enum")
        literals["enum"] = node["enum"]
    return literals


def _check_literal(value: Any, path: str) -> None:
    match value:
        case str() if _UNSPELLABLE.search(value):
            raise SchemaError("control characters are not supported", path)
        case int() | float() if not abs(value) <= MAX_EXACT_INTEGER:
            raise SchemaError(f"the number {value} is beyond exact numbers", path)
        case list():
            for item in value:
                _check_literal(item, path)
        case dict():
            for key, item in value.items():
                _check_literal(key, path)
                _check_literal(item, path)
