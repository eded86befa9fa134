from __future__ import annotations

from collections.abc import Callable

import pytest

from api.engine.memory.account import BlockSizes, KVMemory
from tests.engine.written_fields import written_in_engine


def create_account(slot_bytes: int = 0, block_bytes: int = 0) -> KVMemory:
    """Of 100 bytes."""
    account = KVMemory(100)
    account.take_slots(slot_bytes)
    account.take_block(block_bytes)
    return account


def test_what_is_taken_is_no_longer_free_until_it_is_returned() -> None:
    account = create_account()
    account.take_slots(60)
    account.take_block(30)
    assert (account.slot_bytes, account.block_bytes, account.free_bytes) == (60, 30, 10)
    account.return_slots(50)
    account.return_blocks(30)
    assert (account.slot_bytes, account.block_bytes, account.free_bytes) == (10, 0, 90)
    account.check()


@pytest.mark.parametrize(
    "verb",
    [
        lambda account: account.take_slots(11),
        lambda account: account.take_slots(-1),
        lambda account: account.take_block(11),
        lambda account: account.take_block(-1),
        lambda account: account.return_slots(61),
        lambda account: account.return_slots(-1),
        lambda account: account.return_blocks(31),
        lambda account: account.return_blocks(-1),
    ],
)
def test_nobody_takes_what_is_not_free_or_returns_what_was_not_taken(
    verb: Callable[[KVMemory], None],
) -> None:
    account = create_account(slot_bytes=60, block_bytes=30)
    with pytest.raises(AssertionError):
        verb(account)
    assert (account.slot_bytes, account.block_bytes) == (60, 30)


def test_check_finds_what_is_over_the_budget() -> None:
    account = create_account(slot_bytes=60, block_bytes=30)
    account.budget_bytes = 80
    with pytest.raises(AssertionError, match="10 bytes over"):
        account.check()


def test_blocks_give_way_to_who_asks() -> None:
    account = create_account(slot_bytes=60, block_bytes=30)
    asked: list[int] = []

    def evict(num_bytes: int) -> None:
        asked.append(num_bytes)
        account.return_blocks(20)

    assert account.make_room(10) and not account.make_room(11)  # nobody can evict
    account.evict_by(evict)
    assert account.make_room(10) and asked == []
    assert account.make_room(25) and asked == [15]
    assert not account.make_room(50) and asked == [15]  # the blocks that are left are not enough


def test_nobody_else_changes_the_account() -> None:
    assert written_in_engine({"slot_bytes", "block_bytes", "budget_bytes"}) == []


def test_strides_are_counted_in_blocks() -> None:
    assert BlockSizes(32, 1000, state_bytes=7, state_stride_tokens=256).stride_blocks == 8
