"""Imports point strictly downward; two packages of one level do not know each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Longest prefix wins.
LEVELS = {
    "app": 6,
    "api.serving": 6,
    "api.routes": 5,
    "api.protocol": 5,
    "api.server_handler": 4,
    "api.server_state": 4,
    "api.server_stats": 4,
    "api.threads": 4,
    "api.engine_assembly": 4,
    "api.generator": 3,
    "api.prompt_reader": 3,
    "api.engine": 2,
    "api.text": 2,
    "api.schemas": 1,
    "api.observability": 1,
    "api.types": 0,
    "api.step_plan": 0,
    "api.stats": 0,
    "api.events": 0,
    "api.command_line": 0,
    "api.config": 0,
    "api.option_checks": 0,
    "api.options": 0,
    "api.option_values": 0,
    "api.shortening": 0,
    "api.errors": 0,
    "api.thread_priority": 0,
    "api.open_files": 0,
}
# Packages of one level that form one part, and the one dependency between two parts of a level.
SAME_PART = [
    {"app", "api.serving"},
    {"api.server_handler", "api.server_state", "api.server_stats", "api.threads", "api.engine_assembly"},
    {
        "api.types",
        "api.step_plan",
        "api.stats",
        "api.events",
        "api.command_line",
        "api.config",
        "api.option_checks",
        "api.options",
        "api.option_values",
        "api.shortening",
        "api.errors",
        "api.thread_priority",
        "api.open_files",
    },
]
ALLOWED_SIDEWAYS = {("api.routes", "api.protocol")}

MAY_IMPORT_MLX = ("api.generator", "api.engine", "api.engine_assembly")
MAY_IMPORT_FASTAPI = ("app", "api.routes")


def module_files() -> list[Path]:
    return [ROOT / "app.py", *sorted((ROOT / "api").rglob("*.py"))]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def part_of(module: str) -> str | None:
    matching = [prefix for prefix in LEVELS if module == prefix or module.startswith(f"{prefix}.")]
    return max(matching, key=len, default=None)


def imports_of(path: Path) -> Iterator[str]:
    """Every module that is imported anywhere in the file, also in functions and for type checking."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_allowed(importer: str, imported: str) -> bool:
    source, target = part_of(importer), part_of(imported)
    if source is None or target is None:
        return False
    if source == target or LEVELS[target] < LEVELS[source]:
        return True
    return (source, target) in ALLOWED_SIDEWAYS or any({source, target} <= each for each in SAME_PART)


def is_within(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("path", module_files(), ids=module_name)
def test_imports_point_downward(path: Path) -> None:
    importer = module_name(path)
    if importer == "api":
        return
    own = [name for name in imports_of(path) if name == "app" or name.startswith(("app.", "api."))]
    assert [name for name in own if not is_allowed(importer, name)] == []


@pytest.mark.parametrize("path", module_files(), ids=module_name)
def test_mlx_and_fastapi_stay_where_they_belong(path: Path) -> None:
    importer = module_name(path)
    packages = {name.split(".")[0] for name in imports_of(path)}
    if packages & {"mlx", "mlx_lm"}:
        assert is_within(importer, MAY_IMPORT_MLX)
    if packages & {"fastapi"}:
        assert is_within(importer, MAY_IMPORT_FASTAPI)


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("app", "api.routes.sse", True),
        ("api.routes.sse", "api.protocol.errors.error_object", True),
        ("api.protocol.errors", "api.routes.sse", False),
        ("api.text.tokenizer", "api.engine.sequence", False),
        ("api.engine.sequence", "api.text.tokenizer", False),
        ("api.schemas.validation", "api.observability.metrics", False),
        ("api.generator", "api.server_handler", False),
        ("api.errors", "api.schemas", False),
        ("api.server_handler", "api.engine.sequence", True),
        ("api.newcomer", "api.types", False),
    ],
)
def test_the_rule_itself(importer: str, imported: str, allowed: bool) -> None:
    assert is_allowed(importer, imported) is allowed
