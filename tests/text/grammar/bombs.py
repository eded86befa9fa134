"""Schemas and grammars that once ended a server or held it up, or are of their kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from api.types import Structure

Wrap = Callable[[Any], Any]

WRAPS: dict[str, Wrap] = {
    "ref": lambda reference: reference,
    "properties": lambda reference: {"type": "object", "properties": {"a": reference}, "required": ["a"]},
    "items": lambda reference: {"type": "array", "items": reference},
    "prefixItems": lambda reference: {"type": "array", "prefixItems": [reference], "minItems": 1},
    "anyOf": lambda reference: {"anyOf": [reference, {"type": "null"}]},
    "oneOf": lambda reference: {"oneOf": [reference, {"type": "null"}]},
    "allOf": lambda reference: {"allOf": [reference]},
    "additionalProperties": lambda reference: {"type": "object", "additionalProperties": reference},
}


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def chain(length: int, wrap: Wrap = WRAPS["ref"], *, is_loop: bool = False) -> dict[str, Any]:
    """Definitions each of which refers to the next."""
    definitions = {f"d{i}": wrap(ref(f"d{i + 1}")) for i in range(length)}
    definitions[f"d{length}"] = wrap(ref("d0")) if is_loop else {"type": "integer"}
    return {**ref("d0"), "$defs": definitions}


def mesh(depth: int, width: int, combine: str = "anyOf") -> dict[str, Any]:
    """Layers of definitions, each of which refers to all of the next: width**depth paths, few bytes."""
    definitions: dict[str, Any] = {
        f"l{layer}_{n}": {combine: [ref(f"l{layer + 1}_{m}") for m in range(width)]}
        for layer in range(depth)
        for n in range(width)
    }
    definitions |= {f"l{depth}_{n}": {"type": "object", "properties": {f"p{n}": {}}} for n in range(width)}
    return {"oneOf": [ref("l0_0"), ref("l0_1")], "$defs": definitions}


def rules(number: int) -> str:
    lines = [f'r{i}: "x{i}" | r{i + 1}' for i in range(number)]
    return "\n".join(["start: r0", *lines, f'r{number}: "a"'])


def terminals(number: int) -> str:
    lines = [f'T{i}: "x" T{i + 1}' for i in range(number)]
    return "\n".join(["start: T0", *lines, f'T{number}: "a"'])


def _schema(schema: Any) -> Structure:
    return Structure("json_schema", schema)


BOMBS: dict[str, Structure] = {
    **{f"chain of 2500 through {name}": _schema(chain(2500, wrap)) for name, wrap in WRAPS.items()},
    **{f"chain of 950 through {name}": _schema(chain(950, wrap)) for name, wrap in WRAPS.items()},
    "loop of 950": _schema(chain(950, WRAPS["properties"], is_loop=True)),
    **{f"mesh of {name}": _schema(mesh(7, 7, name)) for name in ("anyOf", "allOf", "oneOf")},
    "deep mesh": _schema(mesh(300, 2, "allOf")),
    "chained rules": Structure("lark", rules(9000)),
    "chained rules within the limit": Structure("lark", rules(1900)),
    "chained terminals": Structure("lark", terminals(10_000)),
    "chained terminals within the limit": Structure("lark", terminals(1900)),
    "nested brackets": Structure("lark", "start: " + "(" * 50_000 + '"a"' + ")" * 50_000),
    "nested brackets in EBNF": Structure("lark", "root ::= " + "(" * 5_000 + '"a"' + ")" * 5_000),
    "nested groups": Structure("regex", "(?:" * 5_000 + "a" + ")*" * 5_000),
    "many patterns at once": _schema(
        {"allOf": [{"type": "string", "pattern": f"^(a|b)*a(a|b){{{k}}}$"} for k in range(10, 60)]}
    ),
    "deep value": _schema({"const": [[[[[]]]]]}),
    "thousand enums": _schema({"oneOf": [{"enum": [f"{n}_{m}" for m in range(100)]} for n in range(90)]}),
}
