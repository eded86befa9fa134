"""The one account of the bytes that sequences' state takes: slots that run and blocks that are kept."""

from __future__ import annotations

from collections.abc import Callable


class KVMemory:
    """A hard budget. Whoever takes bytes has asked ``make_room`` before; blocks give way to slots."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.slot_bytes = 0  # of all slots, used or free: what the arrays take
        self.block_bytes = 0
        self._evict: Callable[[int], None] | None = None

    @property
    def free_bytes(self) -> int:
        return self.budget_bytes - self.slot_bytes - self.block_bytes

    def evict_by(self, evict: Callable[[int], None]) -> None:
        """``evict`` gives up blocks of so many bytes together, or as many as it can."""
        self._evict = evict

    def make_room(self, num_bytes: int) -> bool:
        """Whether so many bytes are free, blocks being given up for them where they are not."""
        missing = num_bytes - self.free_bytes
        if 0 < missing <= self.block_bytes and self._evict is not None:
            self._evict(missing)
        return self.free_bytes >= num_bytes

    def check(self) -> None:
        """Raises AssertionError where more is taken than there is."""
        assert self.slot_bytes >= 0 and self.block_bytes >= 0, self
        assert self.free_bytes >= 0, f"{-self.free_bytes} bytes over the budget"
