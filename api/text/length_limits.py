"""How long prompts and answers may be; what certainly does not fit is refused before it is tokenised.

A text of more bytes than so many times the context is too long, whatever its tokens are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from api.errors import ContextLengthError
from api.types import ChatPrompt, TextPrompts

_MAX_BYTES_PER_CHAR = 4  # in UTF-8
# What templates certainly write; an assistant's text may lose its thoughts.
_WRITTEN_ROLES = frozenset({"system", "developer", "user", "tool"})
_SHRINKAGE_OF_NFC = 4  # three letters of Hangul become one, a Greek one with two marks even less
_KEEPING_PRE_TOKENIZERS = frozenset({"ByteLevel", "Digits", "Metaspace"})


@dataclass(frozen=True, slots=True)
class AnswerRoom:
    """Limits that a prompt and its answer share, in tokens."""

    context_tokens: int
    memory_tokens: int  # what one sequence may take of the KV memory, at most
    default_max_tokens: int | None  # of an answer whose client names no limit; None: what is left

    def num_tokens(self, num_prompt_tokens: int, wanted: int | None, param: str) -> int:
        """Of the answer at most; ``param`` is the prompt's field. Raises ContextLengthError for too much."""
        self._check(num_prompt_tokens, 1 if wanted is None else wanted, param)
        if wanted is not None:
            return wanted
        left = min(self.context_tokens, self.memory_tokens) - num_prompt_tokens
        return left if self.default_max_tokens is None else min(left, self.default_max_tokens)

    def _check(self, num_prompt_tokens: int, num_answer_tokens: int, param: str) -> None:
        total = num_prompt_tokens + num_answer_tokens
        asked = f"{total} tokens ({num_prompt_tokens} in the {param}, {num_answer_tokens} in the completion)"
        if total > self.context_tokens:
            raise ContextLengthError(
                f"This model's maximum context length is {self.context_tokens} tokens. However, you "
                f"requested {asked}. Please shorten the {param} or the completion.",
                param=param,
            )
        if total > self.memory_tokens:
            raise ContextLengthError(
                f"The server's KV memory holds {self.memory_tokens} tokens of one request. However, you "
                f"requested {asked}. Please shorten them, or ask for a larger --kv-memory.",
                param=param,
            )


def num_chars(prompt: ChatPrompt | TextPrompts) -> int:
    """Returns the characters of all texts, a number counting as one: what is to be read, about."""
    if isinstance(prompt, TextPrompts):
        return sum(map(len, prompt.prompts))
    tools = prompt.tool_use.tools if prompt.tool_use is not None else ()
    return _num_chars_within([*prompt.messages, *tools, prompt.template_options])


def exceeds(prompt: ChatPrompt | TextPrompts, max_bytes: int) -> bool:
    """Tells whether a prompt's texts have more bytes than that."""
    if isinstance(prompt, TextPrompts):
        return any(isinstance(each, str) and _has_more([each], max_bytes) for each in prompt.prompts)
    contents = (each.get("content") for each in prompt.messages if each.get("role") in _WRITTEN_ROLES)
    return _has_more([text for text in contents if isinstance(text, str)], max_bytes)


def _has_more(texts: list[str], max_bytes: int) -> bool:
    if _MAX_BYTES_PER_CHAR * sum(map(len, texts)) <= max_bytes:
        return False
    return sum(len(text.strip().encode("utf-8", "surrogatepass")) for text in texts) > max_bytes


def _num_chars_within(values: list[Any]) -> int:
    total, pending = 0, values
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, dict):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple)):
            pending += value
        else:
            total += 1
    return total


# --- tokens --------------------------------------------------------------------------------------


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
