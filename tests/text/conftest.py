"""Small tokenizers of each kind, built from scratch and loaded from a folder as a model's are."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tokenizers import Tokenizer as RawTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from api.text.tokenizer import Tokenizer, load_tokenizer

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "Hello, how are you today? I am fine, thank you.",
    "Die Übergröße des Mädchens ist schön.",
    "Paris is the capital of France; hello world",
]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('Unknown role ' + message.role) }}{% endif %}"
    "<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL_TOKENS = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]

FolderWriter = Callable[..., Path]


def byte_level() -> RawTokenizer:
    raw = RawTokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    raw.train_from_iterator(SENTENCES, trainer)
    return raw


def sentencepiece(sentences: list[str] = SENTENCES, *, strips_space: bool = True) -> RawTokenizer:
    """Llama-2's make: no words, "\u2581" for spaces, bytes for what the vocabulary lacks."""
    normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    trained = RawTokenizer(models.BPE())
    trained.normalizer = normalizer
    trained.train_from_iterator(sentences, trainers.BpeTrainer(vocab_size=120, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\ufffd", "\u2581\u2581"]
    names += [name for name in model["vocab"] if name not in names]
    vocab = {name: index for index, name in enumerate(names)}
    merges = [tuple(merge) for merge in model["merges"]]
    raw = RawTokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    raw.normalizer = normalizer
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    raw.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if strips_space else steps)
    return raw


def wordpiece(*, cleanup: bool = False) -> RawTokenizer:
    raw = RawTokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece(cleanup=cleanup)
    trainer = trainers.WordPieceTrainer(vocab_size=150, special_tokens=["[UNK]"], show_progress=False)
    raw.train_from_iterator(SENTENCES, trainer)
    return raw


def metaspace() -> RawTokenizer:
    raw = RawTokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=150, special_tokens=["<unk>"], show_progress=False)
    raw.train_from_iterator(SENTENCES, trainer)
    return raw


def word_suffix() -> RawTokenizer:
    raw = RawTokenizer(models.BPE(end_of_word_suffix="</w>"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.BPEDecoder("</w>")
    trainer = trainers.BpeTrainer(vocab_size=150, end_of_word_suffix="</w>", show_progress=False)
    raw.train_from_iterator(SENTENCES, trainer)
    return raw


KINDS: dict[str, Callable[[], RawTokenizer]] = {
    "byte_level": byte_level,
    "sentencepiece": sentencepiece,
    "sentencepiece_keeping_space": lambda: sentencepiece(strips_space=False),
    "sentencepiece_without_latin": lambda: sentencepiece(["\u4f60\u597d \u4e16\u754c \u4f60\u597d"]),
    "wordpiece": wordpiece,
    "wordpiece_cleaning_up": lambda: wordpiece(cleanup=True),
    "metaspace": metaspace,
    "word_suffix": word_suffix,
}


def write_folder(
    folder: Path,
    raw: RawTokenizer,
    chat_template: str | None = TEMPLATE,
    *,
    special_tokens: Sequence[str] = (),
    tokens: Sequence[str] = ("<think>",),
) -> Path:
    raw.add_special_tokens([*SPECIAL_TOKENS, *special_tokens])
    raw.add_tokens(list(tokens))
    begin = ("<|begin|>", raw.token_to_id("<|begin|>"))
    raw.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[begin])
    raw.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|begin|>",
        "eos_token": "<|end|>",
        "clean_up_tokenization_spaces": True,
    }
    if chat_template is not None:
        config["chat_template"] = chat_template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def load_kind(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tokenizer]:
    """Returns one loaded tokenizer per kind, shared by all tests."""
    loaded: dict[str, Tokenizer] = {}

    def load(kind: str) -> Tokenizer:
        if kind not in loaded:
            loaded[kind] = load_tokenizer(write_folder(tmp_path_factory.mktemp(kind), KINDS[kind]()))
        return loaded[kind]

    return load


@pytest.fixture(scope="session")
def load_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Tokenizer]:
    """Returns byte-level tokenizers with further tokens and another template, each built once."""
    loaded: dict[str, Tokenizer] = {}

    def load(chat_template: str | None = TEMPLATE, **tokens: Sequence[str]) -> Tokenizer:
        key = repr((chat_template, tokens))
        if key not in loaded:
            folder = write_folder(tmp_path_factory.mktemp("model"), byte_level(), chat_template, **tokens)
            loaded[key] = load_tokenizer(folder)
        return loaded[key]

    return load


@pytest.fixture
def with_template(tmp_path: Path) -> Callable[[str | None], Tokenizer]:
    """Returns a byte-level tokenizer with the given chat template."""

    def load(chat_template: str | None) -> Tokenizer:
        return load_tokenizer(write_folder(tmp_path, byte_level(), chat_template))

    return load
