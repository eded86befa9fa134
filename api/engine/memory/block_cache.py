"""Caches the KV of prompts and answers in blocks, for later prompts that begin with the same tokens.

Plain Python: it decides which blocks exist; ``forward/kv/block_store.py`` holds their arrays. A block is
copied out of a slot once its tokens are computed, and copied into the slot of a sequence that begins
with it. Nobody attends over a block in place, so one that is evicted is gone at once.
"""

from __future__ import annotations

from collections.abc import Container
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from itertools import takewhile

from api.engine.memory.account import BlockSizes, KVMemory
from api.engine.memory.block_keys import BlockKeys, ComingBlock, NoBlockKeys
from api.engine.memory.prefix_tree import Block, PrefixTree
from api.engine.sequences.sequence import Sequence
from api.stats import PrefixCacheStats
from api.step_plan import BlockSave

# What a prompt must be spared by waiting for another that computes the same blocks.
_FEWEST_AWAITED_BLOCKS = 2
# The blocks of an answer are saved a few at a time.
_SAVED_TOGETHER_TOKENS = 128


@dataclass(slots=True)
class _Path:
    """A running sequence's blocks: those it began with, those it is going to compute."""

    blocks: list[Block] = field(default_factory=list)
    num_saved: int = 0  # the next one to save
    is_broken: bool = False  # no room, or what it builds on was evicted: nothing more of it is saved


class BlockCache:
    """``PrefixCache`` under two limits: its own, and what the slots leave of ``memory``."""

    def __init__(self, memory: KVMemory, sizes: BlockSizes, limit_bytes: int) -> None:
        self._memory = memory
        self.sizes = sizes
        self.limit_bytes = limit_bytes
        self._keys: BlockKeys = NoBlockKeys()
        self._tree = PrefixTree(sizes.num_tokens)
        self._paths: dict[int, _Path] = {}  # by sequence id
        self._awaited: dict[int, Block] = {}  # by the id of a sequence that waits for it
        self._pinned: list[Block] = []
        self._evicted: list[int] = []
        self._num_blocks = 0
        self._num_evicted = 0
        self._num_asked_tokens = self._num_hit_tokens = 0
        memory.evict_by(self._evict)

    def name_blocks(self, keys: BlockKeys) -> None:
        """Before the first block: how blocks are known outside of the process."""
        self._keys = keys

    # --- a sequence comes ------------------------------------------------------------------------

    def lookup(self, sequence: Sequence) -> Items[Block]:
        hit = list(takewhile(lambda block: block.is_cached, self._prefix(sequence)))
        while hit and not hit[-1].has_state:
            hit.pop()
        self._pin(hit)
        return hit

    def unpin(self, blocks: Items[Block]) -> None:
        del self._pinned[len(self._pinned) - len(blocks) :]
        self._release_pins(blocks)

    def is_awaited(self, sequence: Sequence, active_ids: Container[int]) -> bool:
        awaited = self._awaited.pop(sequence.sequence_id, None)
        if awaited is None or not awaited.is_computed_by(active_ids):
            awaited = self._computed_by_others(sequence, active_ids)
        if awaited is not None:
            self._awaited[sequence.sequence_id] = awaited
        return awaited is not None

    def track(self, sequence: Sequence, hit: Items[Block]) -> None:
        if not sequence.uses_prefix_cache:
            return
        path = _Path(list(hit), num_saved=len(hit))
        self._awaited.pop(sequence.sequence_id, None)
        self._paths[sequence.sequence_id] = path
        self._tree.touch(hit)
        for _ in range(len(hit), sequence.num_prompt_tokens // self.sizes.num_tokens):
            self._extend(path, sequence)

    def count_hit(self, sequence: Sequence) -> None:
        if sequence.uses_prefix_cache:
            self._num_asked_tokens += sequence.num_prompt_tokens
            self._num_hit_tokens += sequence.num_cached_tokens

    def _prefix(self, sequence: Sequence) -> list[Block]:
        """What exists of its prefix. Its last token is always computed: its logits are needed."""
        num_blocks = (sequence.num_known - 1) // self.sizes.num_tokens if sequence.uses_prefix_cache else 0
        return list(self._tree.walk(sequence.cache_salt, sequence.token_ids, num_blocks))

    def _computed_by_others(self, sequence: Sequence, active_ids: Container[int]) -> Block | None:
        """The last block of its prefix that is on its way, where they are worth waiting for."""
        blocks = self._prefix(sequence)
        if self.sizes.state_bytes:  # a sequence can only go on where a state will be saved
            blocks = blocks[: len(blocks) - len(blocks) % self.sizes.stride_blocks]
        coming = [block for block in blocks if block.is_computed_by(active_ids)]
        return coming[-1] if len(coming) >= _FEWEST_AWAITED_BLOCKS else None

    # --- a sequence runs -------------------------------------------------------------------------

    def next_stop(self, sequence: Sequence) -> int | None:
        """State can be saved where a chunk ends: at each stride, and at the prompt's last whole block."""
        if not (self.sizes.state_bytes and sequence.uses_prefix_cache):
            return None
        stride = self.sizes.state_stride_tokens
        at_stride = (sequence.num_computed // stride + 1) * stride
        last = self._last_whole(sequence)
        return min(at_stride, last) if last > sequence.num_computed else at_stride

    def save(self, sequence: Sequence, *, is_leaving: bool = False) -> list[BlockSave]:
        path = self._paths.get(sequence.sequence_id)
        if path is None or not self._is_due(sequence, path, is_leaving):
            return []
        num_whole = min(sequence.num_computed, len(sequence.token_ids)) // self.sizes.num_tokens
        saves: list[BlockSave] = []
        while path.num_saved < num_whole and not path.is_broken:
            saves += self._save_next(sequence, path)
        return saves

    def untrack(self, sequence: Sequence) -> None:
        self._awaited.pop(sequence.sequence_id, None)
        path = self._paths.pop(sequence.sequence_id, None)
        if path is not None:
            self._break_off(path, sequence)

    def _is_due(self, sequence: Sequence, path: _Path, is_leaving: bool) -> bool:
        if path.is_broken:
            return False
        if self.sizes.state_bytes:
            return self._is_state_place(sequence, sequence.num_computed)
        num_saved_tokens = path.num_saved * self.sizes.num_tokens
        is_prompt = num_saved_tokens + self.sizes.num_tokens <= sequence.num_prompt_tokens
        return is_leaving or is_prompt or sequence.num_computed - num_saved_tokens >= _SAVED_TOGETHER_TOKENS

    def _is_state_place(self, sequence: Sequence, position: int) -> bool:
        """Whether the state after ``position`` tokens is to be saved."""
        if not 0 < position <= len(sequence.token_ids):
            return False
        return position % self.sizes.state_stride_tokens == 0 or position == self._last_whole(sequence)

    def _last_whole(self, sequence: Sequence) -> int:
        size = self.sizes.num_tokens
        return (sequence.num_prompt_tokens - 1) // size * size

    def _save_next(self, sequence: Sequence, path: _Path) -> list[BlockSave]:
        start, size = path.num_saved * self.sizes.num_tokens, self.sizes.num_tokens
        if path.num_saved == len(path.blocks):
            self._extend(path, sequence)
        with_state = bool(self.sizes.state_bytes) and start + size == sequence.num_computed
        is_new = not path.is_broken and not path.blocks[path.num_saved].is_cached
        if is_new and not self._cache(path.blocks[path.num_saved], sequence.cache_salt, with_state):
            path.is_broken = True
        if path.is_broken:
            self._break_off(path, sequence)
            return []
        block, slot = path.blocks[path.num_saved], sequence.slot
        block.computing_ids.discard(sequence.sequence_id)
        path.num_saved += 1
        assert slot is not None
        return [BlockSave(block.block_id, slot, start, size, with_state, block.key)] if is_new else []

    def _extend(self, path: _Path, sequence: Sequence) -> None:
        """The next block of the path, or its end where the tree no longer holds the one before."""
        if path.blocks and path.blocks[-1].parent is None:
            path.is_broken = True
            return
        start, size = len(path.blocks) * self.sizes.num_tokens, self.sizes.num_tokens
        before = path.blocks[-1] if path.blocks else self._tree.root(sequence.cache_salt)
        block = self._tree.child(before, tuple(sequence.token_ids[start : start + size]))
        if not block.is_cached:
            block.computing_ids.add(sequence.sequence_id)
        path.blocks.append(block)

    def _break_off(self, path: _Path, sequence: Sequence) -> None:
        """What the sequence was going to compute is not to be waited for any more."""
        for block in reversed(path.blocks[path.num_saved :]):
            block.computing_ids.discard(sequence.sequence_id)
            self._remove_unused(block)

    def _remove_unused(self, block: Block) -> None:
        if block.parent is not None and not (block.is_cached or block.computing_ids or block.children):
            self._tree.remove(block)

    # --- blocks come and go ----------------------------------------------------------------------

    def insert(self, salt: str, parent_key: str, coming: Items[ComingBlock]) -> list[int | None]:
        """Caches blocks that come from elsewhere, behind the block of ``parent_key`` or the salt's root.

        Returns an id for each, None where there was one already; fewer where there is no room for more.
        """
        is_first = parent_key == self._keys.root(salt)
        parent = self._tree.root(salt) if is_first else self._keys.find(parent_key)
        ids: list[int | None] = []
        num_pinned = len(self._pinned)
        while parent is not None and len(ids) < len(coming):
            block, parent = self._tree.child(parent, coming[len(ids)].token_ids), None
            is_new = not block.is_cached
            if not is_new or self._cache(block, salt, coming[len(ids)].has_state):
                ids.append(block.block_id if is_new else None)
                parent = block
            self._remove_unused(block)
        self.unpin(self._pinned[num_pinned:])
        return ids

    def _cache(self, block: Block, salt: str, with_state: bool) -> bool:
        """Makes a block a cached one; False where there is no room for it."""
        if block.parent is None:
            return False
        self._pin([block.parent])  # the room for its child must not be made of it
        num_bytes = self.sizes.kv_bytes + (self.sizes.state_bytes if with_state else 0)
        if not self._make_room(num_bytes):
            return False
        self._memory.take_block(num_bytes)
        self._num_blocks += 1
        block.is_cached, block.num_bytes = True, num_bytes
        block.has_state = with_state or not self.sizes.state_bytes
        block.key = self._keys.child(block.parent.key or self._keys.root(salt), block.token_ids)
        self._keys.add(block)
        self._pin([block])
        self._tree.touch([block])
        return True

    def _make_room(self, num_bytes: int) -> bool:
        self._evict(self._memory.block_bytes + num_bytes - self.limit_bytes)
        return self._memory.block_bytes + num_bytes <= self.limit_bytes and self._memory.make_room(num_bytes)

    def _evict(self, num_bytes: int) -> None:
        wanted = self._memory.block_bytes - num_bytes
        while self._memory.block_bytes > wanted and (block := self._tree.oldest_end()) is not None:
            self._memory.return_blocks(block.num_bytes)
            self._num_blocks -= 1
            self._num_evicted += 1
            self._evicted.append(block.block_id)
            self._keys.discard(block)
            self._tree.remove(block)

    def _pin(self, blocks: Items[Block]) -> None:
        for block in blocks:
            block.num_pins += 1
        self._pinned += blocks

    def _release_pins(self, blocks: Items[Block]) -> None:
        for block in blocks:
            block.num_pins -= 1
        for block in blocks:
            self._tree.requeue(block)

    # --- plans and checks ------------------------------------------------------------------------

    def finish_plan(self) -> tuple[int, ...]:
        pinned, self._pinned = self._pinned, []
        self._release_pins(pinned)
        return self.take_evicted()

    def take_evicted(self) -> tuple[int, ...]:
        """The ids of the blocks evicted since. Between two plans nothing pinned is among them."""
        evicted, self._evicted = tuple(self._evicted), []
        return evicted

    def clear(self) -> None:
        self._tree.clear()
        self._paths.clear()
        self._awaited.clear()
        self._pinned.clear()
        self._evicted.clear()
        self._keys.clear()
        self._memory.return_blocks(self._memory.block_bytes)
        self._num_blocks = 0

    def stats(self) -> PrefixCacheStats:
        return PrefixCacheStats(
            num_asked_tokens=self._num_asked_tokens,
            num_hit_tokens=self._num_hit_tokens,
            num_blocks=self._num_blocks,
            num_evicted_blocks=self._num_evicted,
            used_bytes=self._memory.block_bytes,
            limit_bytes=self.limit_bytes,
        )

    def check(self) -> None:
        blocks = list(self._tree.blocks())
        cached_bytes = [block.num_bytes for block in blocks if block.is_cached]
        assert len(cached_bytes) == self._num_blocks
        assert sum(cached_bytes) == self._memory.block_bytes <= self.limit_bytes
        for block in blocks:
            assert block.is_cached or block.computing_ids, f"nobody computes {block.token_ids}"
            assert block.computing_ids <= set(self._paths), f"they do not run: {block.computing_ids}"
            assert block.is_cached or not any(child.is_cached for child in block.children.values())
