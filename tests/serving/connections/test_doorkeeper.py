from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import structlog

from api.serving.connections.doorkeeper import Doorkeeper
from api.serving.connections.patience import Awaited, Patience, Progress

PATIENCE = Patience(idle_read_seconds=30, idle_connection_seconds=75)


@dataclass
class FakeConnection:
    awaited: Awaited
    progress: Progress
    num_stuck_bytes: int = 0
    is_reading_paused: bool = False
    ends: list[str] = field(default_factory=list)

    def abort(self) -> None:
        self.ends.append("abort")


def connection(awaited: Awaited, since_seconds: float = 0.0) -> FakeConnection:
    return FakeConnection(awaited, Progress(since_seconds))


def ends_after(seconds: float, each: FakeConnection) -> list[str]:
    Doorkeeper(PATIENCE, 10).sweep([each], seconds)
    return each.ends


@pytest.mark.parametrize("awaited", [Awaited.FIRST_BYTE, Awaited.HEAD, Awaited.BODY])
def test_who_sends_nothing_is_ended(awaited: Awaited) -> None:
    assert ends_after(29, connection(awaited)) == []
    assert ends_after(31, connection(awaited)) == ["abort"]


def test_who_has_been_answered_may_be_silent_for_longer() -> None:
    assert ends_after(74, connection(Awaited.NEXT_REQUEST)) == []
    assert ends_after(76, connection(Awaited.NEXT_REQUEST)) == ["abort"]


def test_who_waits_for_an_answer_may_wait() -> None:
    assert ends_after(10_000, connection(Awaited.ANSWER)) == []


def body(num_bytes: int, last_seconds: float) -> FakeConnection:
    each = connection(Awaited.BODY)
    each.progress.body_begins(0.0)
    each.progress.body_continues(num_bytes, last_seconds)
    return each


def test_a_body_that_goes_on_may_take_its_time_but_not_trickle() -> None:
    assert ends_after(600, body(1_000_000, last_seconds=599)) == []
    assert ends_after(600, body(600, last_seconds=599)) == ["abort"]


def test_a_body_that_the_server_itself_keeps_waiting_is_not_late() -> None:
    each = connection(Awaited.BODY)
    each.is_reading_paused = True
    assert ends_after(100, each) == []


def unread(*num_bytes: int) -> list[str]:
    """After a look every 20 s."""
    each = connection(Awaited.ANSWER)
    doorkeeper = Doorkeeper(PATIENCE, 10)
    for index, each.num_stuck_bytes in enumerate(num_bytes):
        doorkeeper.sweep([each], 20.0 * index)
    return each.ends


def test_who_never_reads_is_ended() -> None:
    assert unread(70_000, 70_000) == []
    assert unread(70_000, 70_000, 70_000) == ["abort"]


def test_who_reads_slowly_or_again_is_not() -> None:
    assert unread(70_000, 69_000, 68_000, 67_000, 66_000, 65_000) == []
    assert unread(70_000, 0, 0, 70_000, 70_000) == []


def test_there_is_room_below_the_limit() -> None:
    others = [connection(Awaited.FIRST_BYTE) for _ in range(9)]
    assert Doorkeeper(PATIENCE, 10).admits(others, 100.0)
    assert not any(each.ends for each in others)


def test_the_longest_silent_give_way_first() -> None:
    kinds = [Awaited.ANSWER, Awaited.BODY, Awaited.NEXT_REQUEST, Awaited.HEAD, Awaited.FIRST_BYTE]
    others = [connection(kind, since) for kind in kinds for since in (2.0, 1.0)]
    leaving = []
    while Doorkeeper(PATIENCE, len(others)).admits(others, 100.0):
        (gone,) = [each for each in others if each.ends]
        leaving.append((gone.awaited, gone.progress.last_seconds))
        others.remove(gone)
    assert leaving == [(kind, since) for kind in reversed(kinds[1:]) for since in (1.0, 2.0)]
    assert [each.awaited for each in others] == [Awaited.ANSWER] * 2


def test_many_go_at_once_and_the_log_says_so_once() -> None:
    others = [connection(Awaited.FIRST_BYTE, index) for index in range(160)]
    doorkeeper = Doorkeeper(PATIENCE, 160)
    with structlog.testing.capture_logs() as lines:
        assert doorkeeper.admits(others, 100.0)
        left = [each for each in others if not each.ends]
        assert len(left) == 150
        doorkeeper.admits([*left, *others[:10]], 101.0)
        doorkeeper.admits([*left, *others[:10]], 200.0)
    assert [(line["log_level"], line["closed"]) for line in lines] == [("warning", 10), ("warning", 20)]
