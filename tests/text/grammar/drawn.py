"""Strategies that draw schemas as graphs of references, and grammars of any size."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.text.grammar.bombs import ref

LEAVES: list[Any] = [
    {"type": "integer"},
    {"type": "string", "maxLength": 3},
    {"type": "string", "pattern": "^[ab]{1,20}c?$"},
    {"const": "x"},
    {"enum": [1, "a", None]},
    {"type": "number", "multipleOf": 0.25},
    True,
    False,
    {},
]


@st.composite
def schema_graphs(draw: st.DrawFn) -> dict[str, Any]:
    """Shared references, chains, meshes and recursion: each definition refers to any others."""
    size = draw(st.sampled_from([1, 3, 10, 40, 200, 900, 1500]))
    names = [f"d{index}" for index in range(size)]
    span = draw(st.sampled_from([1, 2, size]))  # how far a reference reaches
    width = draw(st.integers(1, 4))
    chance = draw(st.randoms(use_true_random=False))

    def target(index: int) -> Any:
        reached = index + chance.randint(-span if chance.random() < 0.05 else 1, span)
        return ref(names[reached % size]) if chance.random() < 0.9 else chance.choice(LEAVES)

    definitions = {name: _node(chance, lambda i=index: target(i), width) for index, name in enumerate(names)}
    return {**_node(chance, lambda: target(0), width), "$defs": definitions}


def _node(chance: Any, target: Any, width: int) -> Any:
    several = [target() for _ in range(width)]
    options: list[Any] = [
        {"anyOf": several},
        {"oneOf": several},
        {"allOf": several},
        {"type": "array", "items": target(), "minItems": chance.randint(0, 2)},
        {"type": "array", "prefixItems": several},
        {"type": "object", "properties": {f"p{i}": each for i, each in enumerate(several)}},
        {"type": "object", "properties": {"p": target()}, "required": ["p"]},
        {"type": "object", "patternProperties": {"^[xy]": target()}},
        {"type": "object", "additionalProperties": target()},
        target() if isinstance(several[0], dict) else {"allOf": several},
    ]
    node = chance.choice(options)
    return node if isinstance(node, dict) else {"allOf": [node]}


@st.composite
def grammars(draw: st.DrawFn) -> str:
    """Lark rules and terminals in chains, trees, loops and long alternatives."""
    size = draw(st.sampled_from([1, 5, 50, 500, 1900, 5000]))
    span = draw(st.sampled_from([1, 2, size]))
    is_terminal = draw(st.booleans())
    chance = draw(st.randoms(use_true_random=False))
    prefix = "T" if is_terminal else "r"

    def term(index: int) -> str:
        kind = chance.random()
        if kind < 0.3 or (is_terminal and index >= size - 1):
            return f'"{chance.choice("abc")}"'
        if kind < 0.4:
            return f"/[a-z]{{1,{chance.randint(1, 30)}}}/"
        name = f"{prefix}{min(size - 1, index + chance.randint(1, span))}"
        return chance.choice((name, f"({name})?", f"{name}+", f"{name}~2..4"))

    def line(index: int) -> str:
        options = (" ".join(term(index) for _ in range(chance.randint(1, 3))) for _ in range(2))
        return f"{prefix}{index}: " + " | ".join(options)

    return "\n".join([f"start: {prefix}0", *map(line, range(size))])
