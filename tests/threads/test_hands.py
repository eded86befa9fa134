from __future__ import annotations

import threading
from functools import partial

from api.threads.hands import Hand, LongWork


def test_the_shortest_goes_first_and_none_is_forgotten() -> None:
    work, done = LongWork(), list[str]()
    for name, num_chars in (("huge", 10_000_000), ("small", 10), ("large", 100_000)):
        work.put(partial(done.append, name), num_chars)
    for _ in range(3):
        each = work.get()
        assert each is not None
        each()
    assert done == ["small", "large", "huge"]


def test_one_that_waits_long_is_not_overtaken_for_ever() -> None:
    work, done = LongWork(), list[str]()
    work.put(partial(done.append, "old"), 1_000)
    work._tasks.queue[0].due_seconds -= 60
    work.put(partial(done.append, "new"), 1)
    for _ in range(2):
        each = work.get()
        assert each is not None
        each()
    assert done == ["old", "new"]


def test_a_hand_works_until_its_end_which_goes_first() -> None:
    work, done = LongWork(), list[int]()
    hand = Hand(0, work)
    for number in range(3):
        work.put(partial(done.append, number), 1)
    work.put_end()
    thread = threading.Thread(target=hand.run)  # it changes its thread's priority
    thread.start()
    thread.join()
    assert done == []
    for _ in range(3):
        each = work.get()
        assert each is not None
        each()
    assert done == [0, 1, 2]
    assert hand.heartbeat.busy_seconds() == 0
