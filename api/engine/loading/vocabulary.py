"""Token ids as a model's configuration names them, in whatever form people have written."""

from __future__ import annotations

from typing import Any

_INT32_MAX = 2**31 - 1


def vocab_size_of(config: dict[str, Any]) -> int | None:
    """The number of rows in the model's head; None where the configuration does not say."""
    size = _named(config, "vocab_size")
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None


def eos_token_ids_of(config: dict[str, Any]) -> tuple[frozenset[int], list[object]]:
    """The ids that end an answer, and what stands there but is no id of the vocabulary, as -1 for none."""
    named = _named(config, "eos_token_id")
    values = named if isinstance(named, list) else [named]
    limit = vocab_size_of(config) or _INT32_MAX
    ids = frozenset(each for each in values if _is_id(each, limit))
    return ids, [each for each in values if each is not None and not _is_id(each, limit)]


def _named(config: dict[str, Any], name: str) -> Any:
    """Models that also see or hear keep their text part's configuration apart."""
    value, nested = config.get(name), config.get("text_config")
    return nested.get(name) if value is None and isinstance(nested, dict) else value


def _is_id(value: object, limit: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < limit
