"""Tiny blocks and their chains."""

from __future__ import annotations

from api.engine.device.host_arrays import ArrayForm, HostArray, Layout, layout_of
from api.engine.memory.block_keys import HashedBlockKeys

BLOCK_TOKENS = 4


def create_arrays(mark: int = 1, num_values: int = 8, *, has_state: bool = False) -> list[HostArray]:
    """Keys and values of one block, bfloat16, and a state of another type."""
    forms = [ArrayForm("BF16", (2, num_values // 2))] + [ArrayForm("F32", (3,))] * has_state
    return [HostArray(form, memoryview(bytes([mark % 256]) * form.num_bytes)) for form in forms]


LAYOUTS: tuple[Layout, Layout] = (layout_of(create_arrays()), layout_of(create_arrays(has_state=True)))


def create_chain(token_ids: list[int], fingerprint: str = "f", salt: str = "") -> list[str]:
    """The keys of all whole blocks of these tokens."""
    keys, chain = HashedBlockKeys(fingerprint), []
    last = keys.root(salt)
    for start in range(0, len(token_ids) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        last = keys.child(last, token_ids[start : start + BLOCK_TOKENS])
        chain.append(last)
    return chain
