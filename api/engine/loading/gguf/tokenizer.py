"""A tokenizer from GGUF metadata, written as tokenizer.json and tokenizer_config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from api.engine.loading.gguf.header import GgufHeader
from api.errors import StartupError

_CONTROL, _USER_DEFINED = 3, 4
_SPACE = "\u2581"  # how SentencePiece writes a blank

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3_SPLIT = _WORDS + r"\p{N}{1,3}" + _REST
_QWEN2_SPLIT = _WORDS + r"\p{N}" + _REST

# tokenizer.ggml.pre: the pattern that cuts text into words before the merges; None is GPT-2's own.
_SPLITS: dict[str, str | None] = {
    "default": None,
    "gpt-2": None,
    "llama3": _LLAMA3_SPLIT,
    "llama-v3": _LLAMA3_SPLIT,
    "llama-bpe": _LLAMA3_SPLIT,
    "qwen2": _QWEN2_SPLIT,
    "deepseek-r1-qwen": _QWEN2_SPLIT,
}
_SINGLE_DIGITS = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"})
_KEEP_WHOLE_WORDS = frozenset({"llama3", "llama-v3", "llama-bpe"})
_NAMED_TOKENS = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}


def write_tokenizer(header: GgufHeader, folder: Path) -> None:
    """Writes the two tokenizer files into ``folder``. Raises StartupError for a kind it cannot build."""
    metadata = header.metadata
    try:
        tokenizer = _build(metadata)
        _add_special_tokens(tokenizer, metadata)
        _add_bos(tokenizer, metadata)
    except KeyError as error:
        raise StartupError(f"{header.path.name}: {error.args[0]} is missing from its metadata") from error
    except (ValueError, TypeError, IndexError) as error:
        raise StartupError(f"{header.path.name}: cannot build its tokenizer: {error}") from error
    tokenizer.save(str(folder / "tokenizer.json"))
    text = json.dumps(tokenizer_config(metadata), ensure_ascii=False, indent=1)
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def tokenizer_config(metadata: dict[str, Any]) -> dict[str, Any]:
    """Returns tokenizer_config.json's content: class, named tokens and the chat template."""
    tokens = metadata["tokenizer.ggml.tokens"]
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
    }
    for name, kind in _NAMED_TOKENS.items():
        token_id = metadata.get(f"tokenizer.ggml.{kind}_token_id")
        if token_id is not None and token_id < len(tokens):
            config[name] = tokens[token_id]
    if template := metadata.get("tokenizer.chat_template"):
        config["chat_template"] = template
    return config


def _build(metadata: dict[str, Any]) -> Tokenizer:
    kind = metadata["tokenizer.ggml.model"]
    if kind == "gpt2":
        return _byte_level(metadata)
    if kind == "llama":
        return _sentencepiece(metadata)
    raise ValueError(f"tokenizer {kind!r} is not supported")


def _vocabulary(metadata: dict[str, Any]) -> dict[str, int]:
    return {token: token_id for token_id, token in enumerate(metadata["tokenizer.ggml.tokens"])}


def _byte_level(metadata: dict[str, Any]) -> Tokenizer:
    pre = metadata.get("tokenizer.ggml.pre", "default")
    vocabulary = _vocabulary(metadata)
    merges = [_pair(merge, vocabulary) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(BPE(vocabulary, merges, ignore_merges=pre in _KEEP_WHOLE_WORDS))
    if metadata.get("general.architecture") in ("qwen2", "qwen3"):
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _pre_tokenizer(pre)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def _pair(merge: str, vocabulary: dict[str, int]) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    if left not in vocabulary or right not in vocabulary or left + right not in vocabulary:
        raise ValueError(f"merge {merge!r} is not in the vocabulary")
    return left, right


def _pre_tokenizer(pre: str) -> pre_tokenizers.PreTokenizer:
    if pre in _SINGLE_DIGITS:
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    if pre not in _SPLITS:
        raise ValueError(f"pre-tokenizer {pre!r} is not supported")
    split = _SPLITS[pre]
    if split is None:
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = pre_tokenizers.Split(Regex(split), "isolated")
    return pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _sentencepiece(metadata: dict[str, Any]) -> Tokenizer:
    vocabulary = _vocabulary(metadata)
    scores = metadata["tokenizer.ggml.scores"]
    unknown = metadata["tokenizer.ggml.tokens"][metadata.get("tokenizer.ggml.unknown_token_id", 0)]
    merges = merges_from_scores(vocabulary, scores)
    tokenizer = Tokenizer(BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    blanks: list[normalizers.Normalizer] = [normalizers.Replace(" ", _SPACE)]
    steps: list[decoders.Decoder] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if metadata.get("tokenizer.ggml.add_space_prefix", True):
        blanks.insert(0, normalizers.Prepend(_SPACE))
        steps.append(decoders.Strip(" ", 1, 0))
    tokenizer.normalizer = normalizers.Sequence(blanks)
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def merges_from_scores(vocabulary: dict[str, int], scores: list[float]) -> list[tuple[str, str]]:
    """Returns the merges that SentencePiece's scores stand for: the best scored piece is merged first."""
    merges = []
    for piece in sorted(vocabulary, key=lambda piece: (-scores[vocabulary[piece]], vocabulary[piece])):
        halves = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
        pairs = [pair for pair in halves if pair[0] in vocabulary and pair[1] in vocabulary]
        merges += sorted(pairs, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
    return merges


def _add_special_tokens(tokenizer: Tokenizer, metadata: dict[str, Any]) -> None:
    types = metadata.get("tokenizer.ggml.token_type", [])
    typed = list(zip(metadata["tokenizer.ggml.tokens"], types, strict=False))
    for wanted, is_special in ((_CONTROL, True), (_USER_DEFINED, False)):
        tokens = [
            AddedToken(token, normalized=False, special=is_special) for token, kind in typed if kind == wanted
        ]
        (tokenizer.add_special_tokens if is_special else tokenizer.add_tokens)(tokens)


def _add_bos(tokenizer: Tokenizer, metadata: dict[str, Any]) -> None:
    """Lets encoding with special tokens begin with bos, where the file asks for it."""
    kinds = (metadata["tokenizer.ggml.model"], metadata.get("tokenizer.ggml.pre"))
    by_default = kinds[0] == "llama" or kinds[1] == "llama-bpe"
    token_id = metadata.get("tokenizer.ggml.bos_token_id")
    if token_id is None or not metadata.get("tokenizer.ggml.add_bos_token", by_default):
        return
    bos = metadata["tokenizer.ggml.tokens"][token_id]
    template = processors.TemplateProcessing(
        single=f"{bos}:0 $A:0", pair=f"{bos}:0 $A:0 {bos}:1 $B:1", special_tokens=[(bos, token_id)]
    )
    former = tokenizer.post_processor
    tokenizer.post_processor = template if former is None else processors.Sequence([former, template])
