"""Chat templates that are not where transformers looks for a tokenizer's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger(__name__)

# transformers wrote it beside a processor, for models that also see, before there was chat_template.jinja.
_OLD_FILE = "chat_template.json"


def old_template_options(folder: Path) -> dict[str, Any]:
    """Options for the tokenizer's load, where the only template is in the old file."""
    path = folder / _OLD_FILE
    if not path.is_file() or _has_newer(folder):
        return {}
    content = _read_object(path)
    template = content.get("chat_template")
    if isinstance(template, str):
        return {"chat_template": template}
    log.warning("no chat template in it, ignored", file=str(path))
    return {}


def _has_newer(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    return bool(_read_object(folder / "tokenizer_config.json").get("chat_template"))


def _read_object(path: Path) -> dict[str, Any]:
    """Empty for what cannot be read: whoever needs the file says so."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
