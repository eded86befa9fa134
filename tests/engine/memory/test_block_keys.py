from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from api.engine.memory.block_keys import HashedBlockKeys, parent_of, short_key
from api.engine.memory.prefix_tree import Block

TOKENS = st.lists(st.lists(st.integers(0, 200_000), min_size=2, max_size=2), min_size=1, max_size=4)


def chain(blocks: list[list[int]], fingerprint: str = "f", salt: str = "") -> list[str]:
    keys = HashedBlockKeys(fingerprint)
    made = [keys.root(salt)]
    for token_ids in blocks:
        made.append(keys.child(made[-1], token_ids))
    return made[1:]


@given(TOKENS, TOKENS)
def test_two_chains_share_the_keys_of_what_both_begin_with_and_no_other(
    one: list[list[int]], two: list[list[int]]
) -> None:
    num_shared = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), len(one))
    num_shared = min(num_shared, len(two))
    assert chain(one)[:num_shared] == chain(two)[:num_shared]
    assert not set(chain(one)[num_shared:]) & set(chain(two)[num_shared:])


def test_salts_and_fingerprints_share_nothing() -> None:
    blocks = [[1, 2], [3, 4]]
    made = [chain(blocks, f, salt) for f, salt in (("f", ""), ("g", ""), ("f", "a"), ("f", "b"), ("fa", ""))]
    assert len({key for keys in made for key in keys}) == 10


def test_without_the_secret_names_cannot_be_guessed() -> None:
    made = {HashedBlockKeys("f", secret).root("a") for secret in (b"", b"one", b"two")}
    assert len(made) == 3
    assert HashedBlockKeys("f", b"one").root("a") in made


def test_a_key_names_the_block_before() -> None:
    first, second = chain([[1, 2], [3, 4]])
    assert re.fullmatch("[0-9a-f]{64}-[0-9a-f]{16}", second)
    assert parent_of(first) is None
    assert parent_of(second) == short_key(first)


def test_knows_which_blocks_are_cached() -> None:
    keys = HashedBlockKeys("f")
    block = Block(1, None, key="k")
    keys.add(block)
    assert "k" in keys and keys.find("k") is block
    keys.discard(block)
    keys.discard(block)
    assert "k" not in keys and keys.find("k") is None
