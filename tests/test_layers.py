"""Imports point strictly downward; two packages of one level do not know each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# All folders of http/ but those below and above: each an API dialect or an endpoint, and a world of its own.
ENDPOINTS = tuple(
    f"api.http.{room.name}"
    for room in sorted((ROOT / "api" / "http").iterdir())
    if (room / "__init__.py").exists()
    and room.name not in ("fields", "compatibility", "transport", "tokenize")
)
# From the bottom up; longest prefix wins. What stands in one line does not know each other, but see below.
LEVELS_FROM_BELOW: tuple[tuple[str, ...], ...] = (
    (
        "api.types",
        "api.step_plan",
        "api.stats",
        "api.events",
        "api.command_line",
        "api.config",
        "api.control_groups",
        "api.shortening",
        "api.errors",
        "api.thread_priority",
        "api.open_files",
    ),
    ("api.observability",),
    ("api.engine.files", "api.engine.sequences"),
    ("api.engine.cpu",),
    ("api.engine.device",),
    ("api.engine.budget",),
    ("api.engine.memory", "api.engine.speculation"),
    ("api.engine.scheduling", "api.engine.sampling"),
    ("api.engine.forward.attention", "api.engine.forward.kv"),
    ("api.engine.forward",),
    ("api.engine.forward.choosing",),
    ("api.engine.loading", "api.engine.disk", "api.engine.draft", "api.engine.tuning", "api.text"),
    ("api.generator", "api.prompt_reader"),
    ("api.server_handler", "api.server_state", "api.server_stats", "api.threads", "api.assembly"),
    ("api.http.fields", "api.http.compatibility"),
    ("api.http.transport",),
    ENDPOINTS,
    ("api.http.tokenize",),
    ("app", "api.serving"),
)
LEVELS = {part: level for level, parts in enumerate(LEVELS_FROM_BELOW) for part in parts}
SAME_PART = [
    set(LEVELS_FROM_BELOW[0]),
    {"app", "api.serving"},
    {"api.server_handler", "api.server_state", "api.server_stats", "api.threads", "api.assembly"},
]
# The few dependencies between two parts of a level.
ALLOWED_SIDEWAYS = {
    ("api.engine.tuning", "api.engine.loading"),
    ("api.http.fields", "api.http.compatibility"),
}
# The second of each pair is lower, and yet none of the first one's business.
STRANGERS = (("api.text", "api.engine"), ("api.http", "api.engine"))

MAY_IMPORT_MLX = (
    "api.generator",
    "api.assembly",
    "api.engine.cpu",
    "api.engine.device",
    "api.engine.sampling",
    "api.engine.forward",
    "api.engine.loading",
    "api.engine.disk",
    "api.engine.draft",
    "api.engine.tuning",
)
MAY_IMPORT_FASTAPI = ("app", "api.http")


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
    if any(is_within(importer, (high,)) and is_within(imported, (low,)) for high, low in STRANGERS):
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
        ("app", "api.http.transport.event_stream", True),
        ("api.http.transport.event_stream", "api.http.fields.answer_shapes", True),
        ("api.http.fields.validation", "api.http.transport.event_stream", False),
        ("api.http.completions.route", "api.http.chat_completions.answer", False),
        ("api.http.openapi.document", "api.http.chat_completions.shape", False),
        ("api.http.tokenize.shape", "api.http.chat_completions.shape", True),
        ("api.http.completions.route", "api.engine.sequences.sequence", False),
        ("api.text.tokenizer", "api.engine.sequences.sequence", False),
        ("api.engine.sequences.sequence", "api.text.tokenizer", False),
        ("api.engine.memory.slots", "api.engine.speculation.repeats", False),
        ("api.engine.scheduling.scheduler", "api.engine.memory.slots", True),
        ("api.engine.scheduling.scheduler", "api.engine.forward.flat", False),
        ("api.observability.metrics", "api.engine.sequences.sequence", False),
        ("api.generator", "api.server_handler", False),
        ("api.errors", "api.http", False),
        ("api.server_handler", "api.engine.sequences.sequence", True),
        ("api.newcomer", "api.types", False),
    ],
)
def test_the_rule_itself(importer: str, imported: str, allowed: bool) -> None:
    assert is_allowed(importer, imported) is allowed
