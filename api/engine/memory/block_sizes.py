"""The sizes of a kept block, for the cache that counts them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlockSizes:
    """What a block takes, and where a model with recurrent state can be continued."""

    num_tokens: int
    kv_bytes: int
    state_bytes: int = 0  # 0: no state, a sequence can go on behind every block
    state_stride_tokens: int = 0  # distance of the places where a sequence's state is kept, whole blocks

    @property
    def stride_blocks(self) -> int:
        return self.state_stride_tokens // self.num_tokens
