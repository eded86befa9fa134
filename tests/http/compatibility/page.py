"""Writes ``docs/compatibility.md`` from the table: ``python -m tests.http.compatibility.page``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from api.http.compatibility.extensions import CHAT_EXTENSIONS, COMPLETION_EXTENSIONS
from api.http.compatibility.field import Field
from api.http.compatibility.foreign import CHAT_FOREIGN, COMPLETION_FOREIGN
from api.http.compatibility.objects import OBJECTS
from api.http.compatibility.openai import CHAT, COMPLETIONS

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PAGE = ROOT / "docs" / "compatibility.md"
COMMAND = "python -m tests.http.compatibility.page"

_INTRODUCTION = """\
# Compatibility

Every request field, one row each: honoured, refused with a 400 that names it, or accepted with no
effect, and why. `null` means absent. Fields that are in no table are tolerated and logged once.

The fields are those of OpenAI's OpenAPI document, version {version}
([openai/openai-openapi](https://github.com/openai/openai-openapi) at `{commit}`); a test fails when
that document has one that is missing here, and another one sends a request for each row and checks
that the row is true. This page is written by `{command}`.
"""


def page() -> str:
    facts = json.loads((ROOT / "tests/openai_schema/fields.json").read_text(encoding="utf-8"))
    introduction = _INTRODUCTION.format(
        version=facts["version"], commit=facts["commit"][:12], command=COMMAND
    )
    return "\n".join([introduction, *_sections()])


def _sections() -> Iterator[str]:
    yield from _section("## POST /v1/chat/completions", CHAT)
    yield from _section("### Local extensions", CHAT_EXTENSIONS)
    yield from _section("### Fields of other servers", CHAT_FOREIGN)
    yield "## Objects of a chat request\n"
    for name, fields in OBJECTS.items():
        yield from _section(f"### {name[0].upper()}{name[1:]}", fields)
    yield from _section("## POST /v1/completions", COMPLETIONS)
    yield from _section("### Local extensions", COMPLETION_EXTENSIONS)
    yield from _section("### Fields of other servers", COMPLETION_FOREIGN)


def _section(title: str, fields: tuple[Field, ...]) -> Iterator[str]:
    yield f"{title}\n"
    yield "| Field | Support | Note |"
    yield "| --- | --- | --- |"
    for field in sorted(fields, key=lambda each: each.name):
        yield f"| `{field.name}` | {field.support} | {field.note} |"
    yield ""


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
