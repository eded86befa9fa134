"""Templates in other files than tokenizer_config.json, and broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.errors import MissingChatTemplateError
from api.text.chat_template import render_chat
from api.text.tokenizer import Tokenizer, load_tokenizer
from api.types import ChatPrompt
from tests.text.conftest import byte_level, write_folder

NEW = "NEW {{ messages[0].content }}"
PROMPT = ChatPrompt(({"role": "user", "content": "Hi"},))


def load(folder: Path, template: str | None = None, **files: Any) -> Tokenizer:
    write_folder(folder, byte_level(), template)
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return load_tokenizer(folder)


def test_the_old_file_of_models_that_see(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, chat_template__json={"chat_template": "OLD {{ messages[0].content }}"})
    assert tokenizer.has_chat_template
    assert render_chat(tokenizer, PROMPT).text == "OLD Hi"


@pytest.mark.parametrize("newer", [{"template": NEW}, {"chat_template__jinja": NEW}])
def test_newer_places_come_first(tmp_path: Path, newer: dict[str, str]) -> None:
    tokenizer = load(tmp_path, chat_template__json={"chat_template": "OLD"}, **newer)
    assert render_chat(tokenizer, PROMPT).text == "NEW Hi"


@pytest.mark.parametrize("content", ["{", [1], {}, {"chat_template": 5}, {"chat_template": None}])
def test_an_old_file_without_a_template_is_said(tmp_path: Path, content: Any) -> None:
    with capture_logs() as lines:
        tokenizer = load(tmp_path, chat_template__json=content)
    assert not tokenizer.has_chat_template
    assert [line["event"] for line in lines if line["log_level"] == "warning"]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages %}\n{{ m.content }\n{% endfor %}", "line 2"),
        ("{% for m in messages %}\n\n{{ m.content }}", "line"),
        ("{{ messages[0].content | nobodys_filter }}", "nobodys_filter"),
        ("{% nonsense %}", "nonsense"),
    ],
)
def test_a_broken_template_is_said_at_the_start_and_to_who_chats(
    tmp_path: Path, template: str, reason: str
) -> None:
    with capture_logs() as lines:
        tokenizer = load(tmp_path, template)
    (line,) = [line for line in lines if line["log_level"] == "warning"]
    assert reason in line["error"]
    with pytest.raises(MissingChatTemplateError, match="template is broken") as caught:
        render_chat(tokenizer, PROMPT)
    assert reason in caught.value.message
    assert caught.value.code == "chat_template_broken"
    assert tokenizer.encode("plain text needs none")


def test_a_template_that_refuses_some_messages_is_not_broken(tmp_path: Path) -> None:
    template = "{{ raise_exception('not so') if messages[0].role == 'user' else 'well' }}"
    assert load(tmp_path, template).template_error is None
