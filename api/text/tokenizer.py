"""One model's tokenizer behind a small typed face."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import structlog

from api.errors import StartupError
from api.open_files import keeps_open_file_limit
from api.text.control_tokens import ControlTokens, find_control_tokens
from api.text.long_texts import MIN_LONG_CHARS, Encode, find_long_encode
from api.text.template_files import old_template_options
from api.text.template_probe import find_template_error, probe_template
from api.text.template_support import TemplateSupport
from api.text.token_pieces import TokenPieces

log = structlog.get_logger(__name__)

_MAX_REASON_CHARS = 300
_INT32_MAX = 2**31 - 1
_LINE_BREAK = "\n"


class TokenizerBackend(Protocol):
    """What is used of mlx-lm's wrapper around a Hugging Face tokenizer."""

    has_chat_template: bool
    chat_template: str | dict[str, str] | None
    eos_token_ids: set[int]
    think_start: str | None
    think_end: str | None
    structural_markers: tuple[str, ...]
    response_transitions: dict[str, list[tuple[str, str]]]
    tool_call_start: str | None
    tool_call_end: str | None
    tool_parser: Callable[..., Any] | None
    added_tokens_decoder: Mapping[int, Any]  # id -> AddedToken

    def encode(self, text: str, **options: Any) -> list[int]: ...

    def decode(self, token_ids: list[int], **options: Any) -> str: ...

    def convert_ids_to_tokens(self, ids: int | list[int]) -> Any: ...

    def apply_chat_template(self, messages: list[dict[str, Any]], **options: Any) -> str: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class DeclaredFormats:
    """How the model marks the parts of its answers, as mlx-lm reads it off the tokenizer."""

    think_begin: str | None
    think_end: str | None
    dropped_markers: tuple[str, ...]  # around an answer, and nobody's text
    transitions: Mapping[str, Sequence[tuple[str, str]]]  # part -> (marker, the part it leads to)
    tool_begin: str | None
    tool_end: str | None
    tool_parser: Callable[..., Any] | None

    @staticmethod
    def of(backend: TokenizerBackend) -> DeclaredFormats:
        return DeclaredFormats(
            think_begin=backend.think_start,
            think_end=backend.think_end,
            dropped_markers=tuple(backend.structural_markers),
            transitions=backend.response_transitions,
            tool_begin=backend.tool_call_start,
            tool_end=backend.tool_call_end,
            tool_parser=backend.tool_parser,
        )


class Tokenizer:
    """Text to ids and back.

    Threads may share it, one encoding and rendering, others decoding: after construction nothing in it
    changes but the memo of ``pieces``, in which all of them write the same.
    """

    def __init__(
        self,
        backend: TokenizerBackend,
        eos_token_ids: Collection[int] = (),
        model_vocab_size: int | None = None,
        *,
        allow_special_tokens: bool = False,
    ) -> None:
        """With ``allow_special_tokens`` the names of control tokens in messages become these tokens."""
        self._backend = backend
        self.vocab_size = len(backend)  # added tokens included; the model's own may be padded beyond
        self.has_chat_template = backend.has_chat_template
        # transformers gives an end token that the vocabulary lacks an id of its own, behind the model's last.
        self.eos_token_ids = frozenset(
            token_id
            for token_id in {*eos_token_ids, *backend.eos_token_ids}
            if 0 <= token_id < (model_vocab_size or _INT32_MAX)
        )
        # Of a text: what comes first, or, as GPT-2 has it, what comes between two of them.
        self.beginning_token_id = _beginning_token_id(backend)
        # The first encoding drops a truncation or padding that the file asks for; that mutates the
        # backend, so it must not happen while another thread decodes. The pieces encode at once.
        self._encode_long: Encode | None = None
        self.pieces = TokenPieces(self)
        self._encode_long = find_long_encode(
            self._rust_tokenizer, lambda text, adds: self.encode(text, add_special_tokens=adds)
        )
        self.declared_formats = DeclaredFormats.of(backend)
        self.template_error = find_template_error(self._render) if self.has_chat_template else None
        is_usable = self.has_chat_template and self.template_error is None
        self.template_support = self._probe() if is_usable else TemplateSupport()
        self.control_tokens = None if allow_special_tokens else self._find_control_tokens()

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Returns the text's ids; raises UnicodeEncodeError for lone surrogates.

        Without ``add_special_tokens`` no BOS is added, as rendered chats bring their own.
        """
        text.encode("utf-8")  # the backend would raise a TypeError that names neither cause nor place
        if self._encode_long is not None and len(text) >= MIN_LONG_CHARS:
            return self._encode_long(text, add_special_tokens)
        return list(self._backend.encode(text, add_special_tokens=add_special_tokens, verbose=False))

    def encode_pieces(self, pieces: Sequence[str]) -> list[int]:
        """Returns the ids of a text that is given in pieces, so that no token spans two of them."""
        first, *others = pieces
        token_ids = self.encode(first)
        following = self._encode_following(list(dict.fromkeys(others))) if others else {}
        for piece in others:
            token_ids += following[piece]
        return token_ids

    def _encode_following(self, pieces: list[str]) -> dict[str, list[int]]:
        """Encodes behind a line break: SentencePiece puts a space before what begins a text."""
        break_ids = self.encode(_LINE_BREAK)
        encoded: dict[str, list[int]] = {}
        for piece, token_ids in zip(
            pieces, self._encode_all([_LINE_BREAK + piece for piece in pieces]), strict=True
        ):
            is_apart = token_ids[: len(break_ids)] == break_ids
            encoded[piece] = token_ids[len(break_ids) :] if is_apart else self.encode(piece)
        return encoded

    def _encode_all(self, texts: list[str]) -> list[list[int]]:
        """Many short texts at once, where the backend's own Rust tokenizer says the same as the backend."""
        rust_tokenizer = getattr(self._backend, "backend_tokenizer", None)
        if rust_tokenizer is None:
            return [self.encode(text) for text in texts]
        for text in texts:
            text.encode("utf-8")
        encoded = [each.ids for each in rust_tokenizer.encode_batch(texts, add_special_tokens=False)]
        is_alike = encoded[0] == self.encode(texts[0])
        return encoded if is_alike else [self.encode(text) for text in texts]

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Returns the text of a whole answer, spaces as the decoder left them."""
        return self._backend.decode(
            list(token_ids), skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
        )

    def token_string(self, token_id: int) -> str:
        """Returns the token's name in the vocabulary, empty for unused ids."""
        return str(self._backend.convert_ids_to_tokens(token_id) or "")

    def token_strings(self) -> list[str]:
        """Returns the names of all tokens, by their ids."""
        names = self._backend.convert_ids_to_tokens(list(range(self.vocab_size)))
        return [name or "" for name in names]

    def special_token_name(self, token_id: int) -> str:
        """Returns the name of a token that adds no text, such as ``<|im_end|>``; empty for all others."""
        return "" if self.pieces.following(None, token_id) else self.token_string(token_id)

    def token_text(self, token_id: int, *, is_first: bool = False) -> str:
        """Returns what the token adds to a text behind others or as the first; a special token's name.

        U+FFFD stands for the bytes of a character that is not whole.
        """
        piece = self.pieces.following(None, token_id)
        if not piece:
            return self.token_string(token_id)
        return (self.pieces.first(token_id) if is_first else piece).decode("utf-8", "replace")

    def definition(self) -> str | None:
        """Returns the content of tokenizer.json as it was loaded; None for tokenizers of another make."""
        return None if self._rust_tokenizer is None else str(self._rust_tokenizer.to_str())

    @property
    def _rust_tokenizer(self) -> Any:
        return getattr(self._backend, "backend_tokenizer", None)

    def chat_template_mentions(self, word: str) -> bool:
        """Tells whether the template's source has the word; False when it is no Jinja template."""
        return word in self._template_source()

    def _template_source(self) -> str:
        template = self._backend.chat_template
        sources = template.values() if isinstance(template, dict) else [template or ""]
        return "\0".join(sources)

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        continue_final_message: bool,
        tools: Sequence[Mapping[str, Any]] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Returns the chat as one string; raises whatever the model's template raises.

        ``options`` are further variables for the template.
        """
        shown_tools = {"tools": [dict(tool) for tool in tools]} if tools else {}
        return self._backend.apply_chat_template(
            [dict(message) for message in messages],
            tokenize=False,
            add_generation_prompt=not continue_final_message,
            continue_final_message=continue_final_message,
            **shown_tools,
            **(options or {}),
        )

    def _find_control_tokens(self) -> ControlTokens:
        declared = self.declared_formats
        added = [(each.content, each.special) for each in self._backend.added_tokens_decoder.values()]
        markers = (declared.tool_begin, declared.tool_end, *declared.dropped_markers)
        thinking = (declared.think_begin or "", declared.think_end or "")
        return find_control_tokens(
            added, [each for each in markers if each], thinking, self._template_source()
        )

    def _probe(self) -> TemplateSupport:
        return probe_template(self._render, mentions_developer=self.chat_template_mentions("developer"))

    def _render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
    ) -> str:
        return self.apply_chat_template(messages, continue_final_message=False, tools=tools)


def _beginning_token_id(backend: TokenizerBackend) -> int | None:
    """Where the tokenizer names neither, one of the ends that the model's configuration names."""
    named = (getattr(backend, name, None) for name in ("bos_token_id", "eos_token_id"))
    return next((each for each in named if isinstance(each, int)), min(backend.eos_token_ids, default=None))


def _load_backend(folder: Path, eos_token_ids: Collection[int], trust_remote_code: bool) -> TokenizerBackend:
    with keeps_open_file_limit():
        mlx_lm_utils: Any = import_module("mlx_lm.utils")  # brings mlx with it, so not at the top
    options = {"trust_remote_code": trust_remote_code, **old_template_options(folder)}
    backend: TokenizerBackend = mlx_lm_utils.load_tokenizer(
        folder, options, eos_token_ids=list(eos_token_ids) or None
    )
    return backend


def load_tokenizer(
    folder: Path,
    *,
    eos_token_ids: Collection[int] = (),
    model_vocab_size: int | None = None,
    trust_remote_code: bool = False,
    allow_special_tokens: bool = False,
) -> Tokenizer:
    """Reads the tokenizer files of a model folder.

    ``eos_token_ids`` are the model configuration's; the tokenizer's own are added, as far as the model
    can say them. Raises StartupError for missing or damaged files; a broken chat template is logged only,
    because plain completions need none.
    """
    if not any(folder.glob("*token*")):  # a folder that is none would be taken for a name to download
        raise StartupError(f"There are no tokenizer files in {folder}; expected tokenizer.json.")
    try:
        backend = _load_backend(folder, eos_token_ids, trust_remote_code)
        tokenizer = Tokenizer(
            backend, eos_token_ids, model_vocab_size, allow_special_tokens=allow_special_tokens
        )
    except Exception as error:  # the Rust parser of tokenizer.json raises plain Exception
        reason = " ".join(str(error).split())[:_MAX_REASON_CHARS]
        message = f"Cannot load the tokenizer in {folder}: {type(error).__name__}: {reason}"
        raise StartupError(message) from error
    if tokenizer.template_error is not None:
        log.warning("the chat template is broken: chats will be refused", error=tokenizer.template_error)
    return tokenizer


def read_token_strings(folder: Path, *, trust_remote_code: bool = False) -> list[str]:
    """Returns the names of all tokens of a model folder's tokenizer, by their ids. Raises StartupError."""
    return load_tokenizer(folder, trust_remote_code=trust_remote_code).token_strings()
