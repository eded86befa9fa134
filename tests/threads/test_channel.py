from __future__ import annotations

import asyncio

import pytest

from api.errors import ServerSideError
from api.events import Accepted, Finished, OutputDelta, OutputPiece, Usage
from api.observability.metrics import Metrics
from api.threads.channel import Channel, ChannelTable
from api.types import FinishReason

FINISHED = Finished("a", FinishReason.STOP, Usage(1, 1))


def delta(request_id: str, text: str) -> OutputDelta:
    return OutputDelta(request_id, 0, OutputPiece(text))


def test_iteration_waits_and_ends_after_the_terminal_event() -> None:
    async def test() -> None:
        channel = Channel("a")
        reader = asyncio.create_task(_collect(channel))
        for event in (Accepted("a", 1), delta("a", "x"), FINISHED):
            await asyncio.sleep(0)
            channel.put(event)
        assert await reader == [Accepted("a", 1), delta("a", "x"), FINISHED]

    asyncio.run(test())


def test_a_timed_out_wait_loses_nothing() -> None:
    async def test() -> None:
        channel = Channel("a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(channel.next_event(), 0.001)
        channel.put(delta("a", "x"))
        channel.put(FINISHED)
        assert await _collect(channel) == [delta("a", "x"), FINISHED]

    asyncio.run(test())


def test_a_cancelled_channel_keeps_only_the_end() -> None:
    async def test() -> None:
        channel = Channel("a")
        channel.put(delta("a", "x"))
        channel.cancel()
        channel.put(delta("a", "y"))
        channel.put(FINISHED)
        assert await _collect(channel) == [FINISHED]

    asyncio.run(test())


def test_only_the_first_end_counts() -> None:
    metrics = Metrics()
    table = ChannelTable(metrics)
    channel = table.open("a")
    table.dispatch([FINISHED])
    table.fail("a", ServerSideError("late"))
    table.dispatch([delta("unknown", "x")])
    assert len(table) == 0
    assert asyncio.run(_collect(channel)) == [FINISHED]
    counts = metrics.snapshot()["requests"]
    assert (counts["received"], counts["stop"], counts["failed"]) == (1, 1, 0)


def test_a_live_id_cannot_be_opened_again() -> None:
    table = ChannelTable(Metrics())
    table.open("a")
    with pytest.raises(ValueError, match="in use"):
        table.open("a")
    table.dispatch([FINISHED])
    table.open("a")


def test_cancel_is_true_once() -> None:
    table = ChannelTable(Metrics())
    table.open("a")
    assert [table.cancel("a"), table.cancel("a"), table.cancel("b")] == [True, False, False]


def test_wait_empty_wakes_at_the_last_end() -> None:
    async def test() -> None:
        table = ChannelTable(Metrics())
        await table.wait_empty()
        table.open("a")
        waiter = asyncio.create_task(table.wait_empty())
        await asyncio.sleep(0)
        assert not waiter.done()
        table.dispatch([FINISHED])
        await waiter

    asyncio.run(test())


async def _collect(channel: Channel) -> list[object]:
    return [event async for event in channel]
