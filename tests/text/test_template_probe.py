from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.text.template_support import TemplateSupport
from api.text.tokenizer import Tokenizer, load_tokenizer
from tests.text import templates
from tests.text.conftest import TEMPLATE, byte_level, write_folder

TURNS = {"system", "late_system", "user_runs", "assistant_runs", "opening_answer"}
CALLS = {"tools", "tool_calls", "tool_results", "content_beside_calls", "parallel_calls"}


def support_with(names: set[str], **fields: Any) -> TemplateSupport:
    return TemplateSupport(**dict.fromkeys(names, True), **fields)


PARTS = frozenset({"system", "user", "assistant"})
FIRST_ONLY = TURNS - {"late_system"}
RUNS = {"user_runs", "assistant_runs", "opening_answer"}


@pytest.mark.parametrize(
    ("template", "support"),
    [
        (None, TemplateSupport()),
        ("{% if %}", TemplateSupport()),
        ("{# nothing #}", TemplateSupport()),
        (TEMPLATE, support_with(TURNS)),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", support_with(TURNS, tool_results=True)),
        (templates.NO_SYSTEM, TemplateSupport()),
        (templates.CHATML_WITH_TOOLS, support_with(TURNS | CALLS, arguments="either")),
        (templates.SHORT_IDS, support_with(TURNS | CALLS, arguments="either", call_id_length=9)),
        (templates.PARTS_ONLY, support_with(TURNS, content_parts=PARTS)),
        (templates.TWO_ROLES, support_with(RUNS)),
        (templates.SYSTEM_FIRST, support_with(FIRST_ONLY, tool_results=True)),
        (templates.LAST_SYSTEM, support_with(FIRST_ONLY, tool_results=True)),
        (
            templates.SYSTEM_LAST,
            support_with({"system"} | CALLS - {"content_beside_calls"}, arguments="either"),
        ),
        (
            templates.ONE_CALL,
            support_with(TURNS | {"tools", "tool_calls", "tool_results"}, arguments="either"),
        ),
        (templates.WALKED_ARGUMENTS, support_with(TURNS | CALLS)),
        (templates.TEXT_ARGUMENTS, support_with(TURNS | CALLS, arguments="text")),
        (
            templates.TOOLS_IN_SYSTEM,
            support_with(TURNS, tools=True, tools_need_system=True, tool_results=True),
        ),
        (templates.DEVELOPER_FIRST, support_with(FIRST_ONLY, developer=True)),
    ],
)
def test_what_a_template_writes(
    load_with: Callable[..., Tokenizer], template: str | None, support: TemplateSupport
) -> None:
    assert load_with(template).template_support == support


def load_configured(folder: Path, **settings: Any) -> Tokenizer:
    write_folder(folder, byte_level(), None)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return load_tokenizer(folder)


def test_a_renderer_in_python_is_asked_like_a_template(tmp_path: Path) -> None:
    """DeepSeek 3.2's reads the arguments' JSON, and writes tools into a system message only."""
    support = load_configured(tmp_path, chat_template_type="deepseek_v32").template_support
    assert support == support_with(TURNS | CALLS, tools_need_system=True, arguments="json")


def test_a_template_of_its_own_for_tools_is_asked_for_those(tmp_path: Path) -> None:
    named = {"default": TEMPLATE, "tool_use": templates.WALKED_ARGUMENTS}
    chat_templates = [{"name": name, "template": template} for name, template in named.items()]
    support = load_configured(tmp_path, chat_template=chat_templates).template_support
    assert support == support_with(TURNS | CALLS)
