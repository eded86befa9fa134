"""Names of blocks that mean the same in every process: a hash of a block's tokens and of all before them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from api.engine.memory.prefix_tree import Block

_PARENT_DIGITS = 16  # of its parent's key that a key ends with
_NO_PARENT = "0" * _PARENT_DIGITS


@dataclass(frozen=True, slots=True)
class ComingBlock:
    """A block that another process has computed: its tokens, and whether a state comes with it."""

    token_ids: tuple[int, ...]
    has_state: bool = False


class BlockKeys(Protocol):
    """Keys, and the cached blocks by their key."""

    def root(self, salt: str) -> str:
        """What the keys of a salt's first blocks are made from."""

    def child(self, parent_key: str, token_ids: Sequence[int]) -> str:
        """The key of a block with these tokens behind the parent's."""

    def add(self, block: Block) -> None: ...

    def discard(self, block: Block) -> None: ...

    def find(self, key: str) -> Block | None: ...

    def clear(self) -> None: ...


class NoBlockKeys:
    """For a cache whose blocks are not known outside of the process."""

    def root(self, salt: str) -> str:
        return ""

    def child(self, parent_key: str, token_ids: Sequence[int]) -> str:
        return ""

    def add(self, block: Block) -> None: ...

    def discard(self, block: Block) -> None: ...

    def find(self, key: str) -> Block | None:
        return None

    def clear(self) -> None: ...


class HashedBlockKeys:
    """SHA-256 over the parent's key and the tokens; the root's is over the fingerprint and the salt, keyed.

    Who does not know the secret cannot tell by the names whether somebody's prompt begins with a guess. A key
    is the digest, a dash and the beginning of the parent's digest: the names alone say which block builds on
    which. The batch thread changes what is cached; any thread makes keys and asks ``in``.
    """

    def __init__(self, fingerprint: str, secret: bytes = b"") -> None:
        """``fingerprint``: same weights, arithmetic and form of the blocks, same value."""
        self._fingerprint = fingerprint
        self._secret = secret
        self._cached: dict[str, Block] = {}

    def root(self, salt: str) -> str:
        seed = repr((self._fingerprint, salt)).encode()
        return f"{_NO_PARENT}{hmac.new(self._secret, seed, hashlib.sha256).hexdigest()}"

    def child(self, parent_key: str, token_ids: Sequence[int]) -> str:
        content = parent_key.encode() + np.asarray(token_ids, dtype="<u4").tobytes()
        return f"{hashlib.sha256(content).hexdigest()}-{parent_key[:_PARENT_DIGITS]}"

    def add(self, block: Block) -> None:
        self._cached[block.key] = block

    def discard(self, block: Block) -> None:
        self._cached.pop(block.key, None)

    def find(self, key: str) -> Block | None:
        return self._cached.get(key)

    def clear(self) -> None:
        self._cached.clear()

    def __contains__(self, key: str) -> bool:
        return key in self._cached


def short_key(key: str) -> str:
    """How the keys of the blocks behind it refer to it."""
    return key[:_PARENT_DIGITS]


def parent_of(key: str) -> str | None:
    """The short key of the block before; None for a first block."""
    parent = key.rpartition("-")[2]
    return None if parent == _NO_PARENT else parent
