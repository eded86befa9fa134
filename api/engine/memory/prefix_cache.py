"""What the scheduler asks of a prefix cache, and the one that keeps nothing."""

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
        """The longest kept prefix that leaves a token to compute; pinned for the plan under way."""

    def unpin(self, blocks: Items[Block]) -> None:
        """The blocks that ``lookup`` has just found are not loaded after all."""

    def is_awaited(self, sequence: Sequence, active_ids: Container[int]) -> bool:
        """Whether one of these running sequences is about to read what ``sequence`` begins with."""

    def begin(self, sequence: Sequence, hit: Items[Block]) -> None:
        """``sequence`` runs, starting behind ``hit``."""

    def count(self, sequence: Sequence) -> None:
        """It was admitted for the first time, with the hit that it says; a plan is made of it."""

    def next_stop(self, sequence: Sequence) -> int | None:
        """The position where its next chunk has to end, at most; None: anywhere."""

    def keep(self, sequence: Sequence, *, is_leaving: bool = False) -> list[BlockSave]:
        """What to save of the tokens it has computed since, its slot being as the last plan left it."""

    def end(self, sequence: Sequence) -> None:
        """It runs no more."""

    def take_dropped(self) -> tuple[int, ...]:
        """The ids of the blocks given up since; what was pinned for the plan under way no longer is."""

    def clear(self) -> None:
        """All blocks' contents are lost."""

    def stats(self) -> PrefixCacheStats: ...

    def check(self) -> None:
        """Raises AssertionError where the accounts are wrong."""


class NoPrefixCache:
    """Keeps nothing."""

    def lookup(self, sequence: Sequence) -> Items[Block]:
        return ()

    def unpin(self, blocks: Items[Block]) -> None: ...

    def is_awaited(self, sequence: Sequence, active_ids: Container[int]) -> bool:
        return False

    def begin(self, sequence: Sequence, hit: Items[Block]) -> None: ...

    def count(self, sequence: Sequence) -> None: ...

    def next_stop(self, sequence: Sequence) -> int | None:
        return None

    def keep(self, sequence: Sequence, *, is_leaving: bool = False) -> list[BlockSave]:
        return []

    def end(self, sequence: Sequence) -> None: ...

    def take_dropped(self) -> tuple[int, ...]:
        return ()

    def clear(self) -> None: ...

    def stats(self) -> PrefixCacheStats:
        return PrefixCacheStats()

    def check(self) -> None: ...
