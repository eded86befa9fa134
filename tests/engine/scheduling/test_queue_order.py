from __future__ import annotations

import pytest

from api.engine.scheduling import queue_order
from api.engine.sequences.sequence import Sequence
from tests.engine.queue_line import Line


def start_decoding(sequence: Sequence) -> None:
    sequence.num_computed = sequence.num_prompt_tokens
    sequence.num_in_flight = 1
    assert sequence.is_decoding


# --- one client ----------------------------------------------------------------------------------


def test_one_clients_prompts_go_shortest_first() -> None:
    line = Line()
    sequences = [line.add(num_prompt_tokens=n) for n in (50, 10, 30)]
    assert line.sorted() == [sequences[1], sequences[2], sequences[0]]


def test_what_is_left_of_a_prompt_counts() -> None:
    line = Line()
    long, short = line.add(num_prompt_tokens=50), line.add(num_prompt_tokens=30)
    long.num_computed = 45
    assert line.sorted() == [long, short]


def test_a_long_prompt_that_has_waited_goes_before_shorter_ones() -> None:
    line = Line()
    long = line.add(num_prompt_tokens=1000)
    line.clock.now += 1.9
    short = line.add(num_prompt_tokens=10)
    assert line.sorted() == [short, long]
    line.waiting.remove(short)
    line.clock.now += 0.2
    assert line.sorted() == [long]
    assert [line.add(num_prompt_tokens=10), long] == line.sorted()[::-1]


def test_equals_go_in_the_order_of_their_ids() -> None:
    line = Line()
    sequences = line.add_many("a", 5)
    line.waiting.reverse()
    assert line.sorted() == sequences


# --- shares among clients ------------------------------------------------------------------------


def test_clients_take_turns() -> None:
    line = Line()
    line.add_many("a", 5)
    line.add_many("b", 2)
    line.add_many("c", 1)
    assert line.clients == "abcabaaa"


def test_turns_are_of_tokens_not_of_requests() -> None:
    line = Line()
    line.add_many("a", 6, num_prompt_tokens=10)  # 10 and the 10 answer tokens twice: 30
    line.add_many("b", 2, num_prompt_tokens=70)  # 90
    assert line.clients == "abaaabaa"


def test_one_request_goes_before_the_rest_of_another_clients_hundred() -> None:
    line = Line()
    line.add_many("many", 100)
    for _ in range(10):
        line.serve_next()
    line.clock.now += 20.0  # the hundred have waited long, and age for nothing
    single = line.add("one", num_prompt_tokens=400)
    position = line.sorted().index(single)
    assert position <= 1
    assert single in [line.serve_next() for _ in range(2)]


def test_answer_tokens_cost_more_than_prompt_tokens() -> None:
    line = Line()
    a, b = line.add("a"), line.add("b")
    line.order.charge(a, 0, 6)
    line.order.charge(b, 10, 0)
    assert line.clients == "ba"
    line.order.charge(b, 3, 0)
    assert line.clients == "ab"


def test_a_long_prompt_shares_the_prefill_with_other_clients() -> None:
    """In chunks of 50 rows, and whoever was charged least goes on."""
    line = Line()
    long, short = line.add("a", num_prompt_tokens=1000), line.add("b", num_prompt_tokens=200)
    turns: list[Sequence] = []
    while short.num_remaining > 0:
        turns.append(line.sorted()[0])
        turns[-1].num_computed += 50
        line.order.charge(turns[-1], 50, 0)
    assert 3 <= turns.count(long) <= 4
    assert turns.count(short) == 4


def test_idling_saves_up_nothing() -> None:
    line = Line()
    line.add_many("a", 60)
    line.let_go(line.add("b"))
    for _ in range(20):
        line.serve_next()
    line.add_many("b", 10)
    assert line.clients[:6] in ("bababa", "ababab")


def test_waiting_for_nobody_saves_up_nothing_either() -> None:
    """A client whose one answer is being written competes for nothing: its next request starts level."""
    line = Line()
    line.add_many("a", 60)
    running = line.add("b")
    line.waiting.remove(running)
    start_decoding(running)
    for _ in range(20):
        line.serve_next()
    line.add_many("b", 10)
    assert line.clients[:6] in ("bababa", "ababab")


def test_leaving_and_coming_back_does_not_wipe_out_what_was_used() -> None:
    line = Line()
    line.add_many("a", 3)
    glutton = line.add("b")
    line.order.charge(glutton, 10_000, 0)
    line.let_go(glutton)
    line.add("b", num_prompt_tokens=1)
    assert line.clients == "aaab"


def test_without_competitors_all_begin_anew() -> None:
    line = Line()
    decoding = line.add("a")
    line.order.charge(decoding, 10_000, 10_000)
    start_decoding(decoding)
    line.waiting.clear()
    line.add_many("b", 2)
    line.add_many("a", 2)
    assert line.clients in ("abab", "baba")


def test_newcomers_do_not_push_back_a_request_for_ever() -> None:
    line = Line()
    old = line.add("old", num_prompt_tokens=2000)
    line.add("other")
    for step in range(100):
        line.add(f"new{step}", num_prompt_tokens=5)
        line.clock.now += 0.5
        if line.serve_next() is old:
            return
    raise AssertionError("the old request starves")


def test_clients_that_left_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_order, "_MAX_DEPARTED_CLIENTS", 3)
    line = Line()
    line.add("stays")
    for number in range(20):
        line.let_go(line.add(f"client{number}"))
    assert line.order.num_clients == 1 + 3
    line.let_go(line.waiting[0])
    line.add("next")
    assert line.order.num_clients == 1


# --- priority ------------------------------------------------------------------------------------


def test_a_better_priority_stands_above_shares_and_lengths() -> None:
    line = Line()
    line.add_many("a", 3)
    late = line.add("a", num_prompt_tokens=500, priority=-1)
    low = line.add("b", num_prompt_tokens=5, priority=7)
    line.order.charge(late, 10_000, 0)
    assert line.sorted()[0] is late
    assert line.sorted()[-1] is low


@pytest.mark.parametrize("best", [0, -5, -(2**62)])
def test_waiting_raises_a_priority_step_by_step(best: int) -> None:
    line = Line()
    low = line.add("a", priority=2**62)
    line.add("b", priority=3)

    def position() -> int:
        fresh = line.add("c", priority=best)
        found = line.sorted().index(low)
        line.let_go(fresh)
        return found

    assert position() == 2
    line.clock.now += queue_order._PRIORITY_STEP_SECONDS
    line.waiting[1].arrival_seconds = line.clock.now  # the other one is as fresh as can be
    assert position() == 1  # with the other's, and older
    line.clock.now += queue_order._PRIORITY_STEP_SECONDS
    assert position() == 0


def test_nobody_rises_above_the_best_priority_by_waiting() -> None:
    """Else the oldest of a client's hundred requests would go before everybody's."""
    line = Line()
    line.add_many("a", 5, priority=0)
    line.add_many("a", 5, priority=1)
    line.clock.now += 1000.0
    line.add_many("b", 3, priority=0)
    assert line.clients.startswith("ababab") or line.clients.startswith("bababa")


def test_a_low_priority_ends_in_a_stream_of_better_ones() -> None:
    line = Line()
    low = line.add("a", num_prompt_tokens=100, priority=5)
    for _ in range(200):
        line.add("b", priority=0)
        line.clock.now += 1.0
        if line.serve_next() is low:
            return
    raise AssertionError("the low priority starves")


def test_the_victim_is_of_the_worst_priority_then_the_youngest() -> None:
    line = Line()
    line.add("a", priority=1)
    line.clock.now += 1.0
    younger, twin = line.add("b", priority=1), line.add("c", priority=1)
    line.add("d", priority=0)
    assert line.order.preemption_victim(line.waiting) is twin
    line.waiting.remove(twin)
    assert line.order.preemption_victim(line.waiting) is younger
