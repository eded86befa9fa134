from __future__ import annotations

import asyncio

import pytest

from api.events import Accepted, Finished, OutputDelta, OutputPiece, TextEvent, Usage
from api.http.transport.tenant_limits import MeteredEvents, within_limits
from api.keys.key import KeyLimits
from api.keys.meter import Meter
from api.types import FinishReason, GenerationRequest, SamplingParams, TextPrompts

REQUEST = GenerationRequest("r", TextPrompts(("hi",)), SamplingParams())
PIECE = OutputDelta("r", 0, OutputPiece(content="x"))
END = Finished("r", FinishReason.STOP, Usage(num_prompt_tokens=7, num_completion_tokens=5))


class Script:
    request_id = "r"

    def __init__(self, *events: TextEvent) -> None:
        self._events = list(events)

    async def next_event(self) -> TextEvent:
        return self._events[0] if len(self._events) == 1 else self._events.pop(0)


def left_after(num_read: int, *events: TextEvent) -> str:
    meter = Meter(KeyLimits(tokens_per_minute=1000), lambda: 0.0)
    metered = MeteredEvents(Script(*events), meter)

    async def read() -> None:
        for _ in range(num_read):
            await metered.next_event()

    asyncio.run(read())
    return meter.headers()["x-ratelimit-remaining-tokens"]


def test_whoever_leaves_early_has_paid_for_what_there_was() -> None:
    events = (Accepted("r", 7), PIECE, PIECE, END)
    assert [left_after(num_read, *events) for num_read in range(5)] == ["1000", "993", "992", "991", "988"]


def test_the_end_is_charged_once_however_often_it_is_asked_for() -> None:
    assert left_after(3, END) == "988"


@pytest.mark.parametrize(
    ("of_key", "of_request", "expected"), [(None, -3, -3), (5, 0, 5), (5, -9, 5), (5, 2, 7), (-5, 0, -5)]
)
def test_a_request_can_only_make_its_keys_priority_worse(
    of_key: int | None, of_request: int, expected: int
) -> None:
    request = GenerationRequest("r", REQUEST.prompt, REQUEST.sampling, priority=of_request)
    assert within_limits(request, KeyLimits(priority=of_key)).priority == expected
