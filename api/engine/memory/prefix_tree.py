"""A radix tree over token ids whose edges are whole blocks, with the least recently used ends first to go.

A block's place in the tree is its tokens and all before them, so a walk from the root finds the longest
prefix that is cached. Trees of different salts share nothing. The tree knows tokens and order of use;
what a block's bytes are and where they lie is not its business.
"""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Block:
    """``block_tokens`` tokens behind those of its parent; a root is a block without tokens."""

    block_id: int
    parent: Block | None
    token_ids: tuple[int, ...] = ()
    children: dict[tuple[int, ...], Block] = field(default_factory=dict)
    is_cached: bool = False  # else its tokens are being computed by some of ``computing_ids``
    has_state: bool = False  # a sequence can go on behind it, also where the model has recurrent state
    computing_ids: set[int] = field(default_factory=set)  # running sequences that are going to compute it
    num_pins: int = 0  # by the plan under way, which saves it, loads it or builds on it
    num_bytes: int = 0  # what it takes; 0 until it is cached
    key: str = ""  # its name in every process, where blocks have one; set when it is cached
    last_used: int = 0

    @property
    def is_end(self) -> bool:
        """Whether it can be evicted: nothing that is cached hangs on it."""
        return self.is_cached and not self.num_pins and not any(c.is_cached for c in self.children.values())

    def is_computed_by(self, sequence_ids: Container[int]) -> bool:
        """Whether one of these sequences is going to compute it."""
        return not self.is_cached and any(each in sequence_ids for each in self.computing_ids)


_FEWEST_COMPACTED = 256  # entries of the heap


class PrefixTree:
    """Blocks of ``block_tokens`` tokens each."""

    def __init__(self, block_tokens: int) -> None:
        self.block_tokens = block_tokens
        self._roots: dict[str, Block] = {}  # by salt
        self._salts: dict[int, str] = {}  # by the root's id
        self._ends: list[tuple[int, int, Block]] = []  # a heap of (last used, id, block), some out of date
        self._num_made = 0
        self._num_blocks = 0
        self._now = 0

    def walk(self, salt: str, token_ids: Sequence[int], num_blocks: int) -> Iterator[Block]:
        """The blocks that exist, cached or being computed, for the first ``num_blocks`` of these tokens."""
        block, size = self._roots.get(salt), self.block_tokens
        for start in range(0, num_blocks * size, size):
            block = block.children.get(tuple(token_ids[start : start + size])) if block else None
            if block is None:
                return
            yield block

    def root(self, salt: str) -> Block:
        if salt not in self._roots:
            root = self._roots[salt] = self._make(None, ())
            self._salts[root.block_id] = salt
        return self._roots[salt]

    def child(self, parent: Block, token_ids: tuple[int, ...]) -> Block:
        """The block of these tokens behind ``parent``; a new one is not cached yet."""
        if token_ids not in parent.children:
            parent.children[token_ids] = self._make(parent, token_ids)
        return parent.children[token_ids]

    def touch(self, blocks: Sequence[Block]) -> None:
        """These are used now, the last of them most recently."""
        for block in blocks:
            self._now += 1
            block.last_used = self._now
        for block in blocks[-1:]:
            self._push(block)

    def oldest_end(self) -> Block | None:
        """The block to evict next; None where none can be."""
        while self._ends:
            last_used, _, block = self._ends[0]
            if last_used == block.last_used and block.is_end:
                return block
            heapq.heappop(self._ends)
        return None

    def remove(self, block: Block) -> None:
        """Takes a block out, with all that hangs on it: nothing that is cached. They have no parent then."""
        parent = block.parent
        assert parent is not None, "a root, or removed before"
        del parent.children[block.token_ids]
        stack = [block]
        while stack:
            gone = stack.pop()
            stack += gone.children.values()
            gone.parent, gone.is_cached = None, False
            self._num_blocks -= 1
        self.requeue(parent)

    def requeue(self, block: Block) -> None:
        """Lets a block be the oldest end again, where it has become one."""
        if not block.token_ids:
            self._forget_root(block)
        elif block.is_end:
            self._push(block)

    def clear(self) -> None:
        self._roots.clear()
        self._salts.clear()
        self._ends.clear()
        self._num_blocks = 0

    def blocks(self) -> Iterator[Block]:
        """All but the roots."""
        stack = list(self._roots.values())
        while stack:
            block = stack.pop()
            stack += block.children.values()
            if block.parent is not None:
                yield block

    def _push(self, block: Block) -> None:
        heapq.heappush(self._ends, (block.last_used, block.block_id, block))
        if len(self._ends) > _FEWEST_COMPACTED + 2 * self._num_blocks:
            self._ends = [(b.last_used, b.block_id, b) for b in self.blocks() if b.is_end]
            heapq.heapify(self._ends)

    def _forget_root(self, root: Block) -> None:
        if not root.children and root.block_id in self._salts:
            del self._roots[self._salts.pop(root.block_id)]

    def _make(self, parent: Block | None, token_ids: tuple[int, ...]) -> Block:
        self._num_made += 1
        self._num_blocks += parent is not None
        return Block(self._num_made, parent, token_ids)
