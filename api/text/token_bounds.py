"""How many bytes of text one token can stand for at most, where that is certain.

A text of more bytes than so many times the context is too long, whatever its tokens are: it need not be
tokenised to be refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

_SHRINKAGE_OF_NFC = 4  # three letters of Hangul become one, a Greek one with two marks even less
_KEEPING_PRE_TOKENIZERS = frozenset({"ByteLevel", "Digits", "Metaspace"})


def max_token_bytes(definition: str | None) -> int | None:
    """Returns None where a token may stand for any number of bytes, or nobody can tell.

    ``definition`` is the content of tokenizer.json. Only byte pair encoders qualify that have a token for
    each byte and in which nothing drops text before they see it.
    """
    if definition is None:
        return None
    fields: dict[str, Any] = orjson.loads(definition)
    model, added = fields["model"], fields.get("added_tokens") or []
    is_whole = _spells_all(model) and all(map(_keeps_text, _parts(fields.get("pre_tokenizer"))))
    shrinkage = _shrinkage(fields.get("normalizer"))
    if not is_whole or shrinkage is None or any(each["lstrip"] or each["rstrip"] for each in added):
        return None
    names = [*model["vocab"], *(each["content"] for each in added)]
    return shrinkage * max(len(name.encode("utf-8", "surrogatepass")) for name in names)


def _spells_all(model: dict[str, Any]) -> bool:
    """An unknown token may stand for a text of any length."""
    return model.get("type") == "BPE" and (model.get("unk_token") is None or bool(model.get("byte_fallback")))


def _parts(step: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Yields a step, or those it is a sequence of."""
    if step is not None and step.get("type") == "Sequence":
        for each in step.get("pretokenizers") or step.get("normalizers") or ():
            yield from _parts(each)
    elif step is not None:
        yield step


def _keeps_text(pre_tokenizer: dict[str, Any]) -> bool:
    is_split = pre_tokenizer["type"] == "Split" and pre_tokenizer.get("behavior") != "Removed"
    return is_split or pre_tokenizer["type"] in _KEEPING_PRE_TOKENIZERS


def _shrinkage(normalizer: dict[str, Any] | None) -> int | None:
    """How many bytes may become one; None where there is no bound."""
    shrinkage = 1
    for part in _parts(normalizer):
        if part["type"] == "NFC":
            shrinkage *= _SHRINKAGE_OF_NFC
        elif part["type"] != "Prepend" and not _is_growing_replacement(part):
            return None
    return shrinkage


def _is_growing_replacement(normalizer: dict[str, Any]) -> bool:
    if normalizer["type"] != "Replace" or "String" not in normalizer["pattern"]:
        return False
    return len(normalizer["content"].encode()) >= len(normalizer["pattern"]["String"].encode())
