"""What the scheduler asks of a prefix cache, and the one that saves nothing."""

from __future__ import annotations

from collections.abc import Container
from collections.abc import Sequence as Items
from typing import Protocol

from api.engine.memory.prefix_tree import Block
from api.engine.sequences.sequence import Sequence
from api.stats import PrefixCacheStats
from api.step_plan import BlockSave


class PrefixCache(Protocol):
    """What becomes of the tokens that sequences have computed. Batch thread only.

    A sequence that does not use it is never found anything for, awaits nobody, and leaves nothing.
    """

    def lookup(self, sequence: Sequence) -> Items[Block]:
        """The longest cached prefix that leaves a token to compute; pinned for the plan under way."""

    def unpin(self, blocks: Items[Block]) -> None:
        """The blocks that ``lookup`` has just found are not loaded after all."""

    def is_awaited(self, sequence: Sequence, active_ids: Container[int]) -> bool:
        """Whether one of these running sequences is about to compute what ``sequence`` begins with."""

    def track(self, sequence: Sequence, hit: Items[Block]) -> None:
        """``sequence`` runs, starting behind ``hit``: it may save blocks from now on."""

    def count_hit(self, sequence: Sequence) -> None:
        """It was admitted for the first time, with the hit that it says; a plan is made of it."""

    def next_stop(self, sequence: Sequence) -> int | None:
        """The position where its next chunk has to end, at most; None: anywhere."""

    def save(self, sequence: Sequence, *, is_leaving: bool = False) -> list[BlockSave]:
        """What to save of the tokens it has computed since, its slot being as the last plan left it."""

    def untrack(self, sequence: Sequence) -> None:
        """It runs no more."""

    def finish_plan(self) -> tuple[int, ...]:
        """The plan under way is made: what was pinned for it no longer is. Returns the ids of the blocks
        that were evicted since the last one."""

    def clear(self) -> None:
        """All blocks' contents are lost."""

    def stats(self) -> PrefixCacheStats: ...

    def check(self) -> None:
        """Raises AssertionError where the accounts are wrong."""


class NoPrefixCache:
    """Saves nothing."""

    def lookup(self, sequence: Sequence) -> Items[Block]:
        return ()

    def unpin(self, blocks: Items[Block]) -> None: ...

    def is_awaited(self, sequence: Sequence, active_ids: Container[int]) -> bool:
        return False

    def track(self, sequence: Sequence, hit: Items[Block]) -> None: ...

    def count_hit(self, sequence: Sequence) -> None: ...

    def next_stop(self, sequence: Sequence) -> int | None:
        return None

    def save(self, sequence: Sequence, *, is_leaving: bool = False) -> list[BlockSave]:
        return []

    def untrack(self, sequence: Sequence) -> None: ...

    def finish_plan(self) -> tuple[int, ...]:
        return ()

    def clear(self) -> None: ...

    def stats(self) -> PrefixCacheStats:
        return PrefixCacheStats()

    def check(self) -> None: ...
