from __future__ import annotations

import pytest

from api.engine.scheduling.scheduler_stats import MAX_LISTED_CHATS
from tests.engine.factories import create_loop, create_sequence

pytestmark = pytest.mark.usefixtures("tiny_classes")


def test_a_chat_is_listed_with_what_is_prefilled_and_written() -> None:
    loop = create_loop(max_step_tokens=32)
    loop.add(create_sequence(num_prompt_tokens=80, max_tokens=4))
    seen = []
    for _ in range(5):
        loop.step()
        seen.append(loop.scheduler.stats().running_chats[0])
    assert [chat.num_prefilled_tokens for chat in seen] == [32, 64, 80, 80, 80]
    assert [chat.num_output_tokens for chat in seen] == [0, 0, 0, 1, 2]
    assert {(chat.num_prompt_tokens, chat.max_output_tokens) for chat in seen} == {(80, 4)}
    assert all(chat.slot_tokens >= chat.num_prefilled_tokens for chat in seen)
    loop.finish()
    assert loop.scheduler.stats().running_chats == ()


def test_who_waits_is_not_listed() -> None:
    loop = create_loop(max_batch_size=1)
    loop.add(create_sequence(1, max_tokens=4))
    loop.add(create_sequence(2, max_tokens=4))
    loop.step()
    stats = loop.scheduler.stats()
    assert (len(stats.running_chats), stats.num_waiting) == (1, 1)


def test_the_list_is_bounded() -> None:
    loop = create_loop(max_batch_size=MAX_LISTED_CHATS + 8)
    for number in range(1, MAX_LISTED_CHATS + 8):
        loop.add(create_sequence(number, num_prompt_tokens=4, max_tokens=4))
    loop.step()
    stats = loop.scheduler.stats()
    assert (stats.num_running, len(stats.running_chats)) == (MAX_LISTED_CHATS + 7, MAX_LISTED_CHATS)
