"""The one account of the bytes that sequences' state takes: slots that run and blocks that are cached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlockSizes:
    """What a block takes, and where a model with recurrent state can be continued."""

    num_tokens: int
    kv_bytes: int
    state_bytes: int = 0  # 0: no state, a sequence can go on behind every block
    state_stride_tokens: int = 0  # distance of the places where a sequence's state is saved, whole blocks

    @property
    def stride_blocks(self) -> int:
        return self.state_stride_tokens // self.num_tokens


class KVMemory:
    """A hard budget. Whoever takes bytes has asked ``make_room`` before; blocks give way to slots.

    Changed by its verbs alone: ``take_slots`` and ``return_slots``, ``take_block`` and ``return_blocks``.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.slot_bytes = 0  # of all slots, used or free: what the arrays take
        self.block_bytes = 0
        self._evict: Callable[[int], None] | None = None

    @property
    def free_bytes(self) -> int:
        return self.budget_bytes - self.slot_bytes - self.block_bytes

    def evict_by(self, evict: Callable[[int], None]) -> None:
        """``evict`` evicts blocks of so many bytes together, or as many as it can."""
        self._evict = evict

    def make_room(self, num_bytes: int) -> bool:
        """Whether so many bytes are free, blocks being evicted for them where they are not."""
        missing = num_bytes - self.free_bytes
        if 0 < missing <= self.block_bytes and self._evict is not None:
            self._evict(missing)
        return self.free_bytes >= num_bytes

    def take_slots(self, num_bytes: int) -> None:
        """The slots' arrays grow by so many bytes."""
        assert 0 <= num_bytes <= self.free_bytes, f"{num_bytes} bytes, {self.free_bytes} are free"
        self.slot_bytes += num_bytes

    def return_slots(self, num_bytes: int) -> None:
        """They shrink by so many."""
        assert 0 <= num_bytes <= self.slot_bytes, f"{num_bytes} bytes of {self.slot_bytes}"
        self.slot_bytes -= num_bytes

    def take_block(self, num_bytes: int) -> None:
        """A block of so many bytes is cached."""
        assert 0 <= num_bytes <= self.free_bytes, f"{num_bytes} bytes, {self.free_bytes} are free"
        self.block_bytes += num_bytes

    def return_blocks(self, num_bytes: int) -> None:
        """Blocks of so many bytes together are evicted."""
        assert 0 <= num_bytes <= self.block_bytes, f"{num_bytes} bytes of {self.block_bytes}"
        self.block_bytes -= num_bytes

    def check(self) -> None:
        """Raises AssertionError where more is taken than there is."""
        assert self.slot_bytes >= 0 and self.block_bytes >= 0, self
        assert self.free_bytes >= 0, f"{-self.free_bytes} bytes over the budget"
