"""Where code changes the fields of somebody else's object."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

API = Path(__file__).resolve().parents[2] / "api"
_CHANGES = {"append", "extend", "insert", "pop", "remove", "clear"}  # of a list


def written_fields(path: Path, names: set[str]) -> list[str]:
    """What is assigned, in whole or in part, to attributes of these names of anything but ``self``."""
    targets = _targets(ast.parse(path.read_text(encoding="utf-8")))
    found = [node for node in targets if node.attr in names and ast.unparse(node.value) != "self"]
    return [f"{path.name}: {ast.unparse(node)}" for node in found]


def written_in_engine(names: set[str]) -> list[str]:
    return [line for path in sorted((API / "engine").rglob("*.py")) for line in written_fields(path, names)]


def _targets(tree: ast.AST) -> Iterator[ast.Attribute]:
    for node in ast.walk(tree):
        changed: ast.AST | None = None
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            changed = node
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            changed = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            changed = node.func.value if node.func.attr in _CHANGES else None
        if isinstance(changed, ast.Attribute):
            yield changed
