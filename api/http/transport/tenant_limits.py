"""A request of somebody whose API key has limits: what it may ask for, and the counting of its tokens."""

from __future__ import annotations

from dataclasses import replace

from api.errors import InvalidRequestError
from api.events import Accepted, Finished, OutputDelta, TextEvent
from api.http.transport.live_request import Events
from api.keys.key import KeyLimits
from api.keys.meter import Meter
from api.types import GenerationRequest


def within_limits(generation: GenerationRequest, limits: KeyLimits) -> GenerationRequest:
    """Raises InvalidRequestError where the answer may be longer than the key allows.

    A key's priority is what its requests begin with: their own can only make it worse.
    """
    if limits.max_tokens is not None and (generation.max_tokens or 0) > limits.max_tokens:
        raise InvalidRequestError(
            f"This API key allows at most {limits.max_tokens} tokens in an answer; "
            f"{generation.max_tokens} were asked for.",
            param="max_tokens",
        )
    priority = generation.priority
    if limits.priority is not None:
        priority = limits.priority + max(0, priority)
    return replace(generation, most_tokens=limits.max_tokens, priority=priority)


class MeteredEvents:
    """Charges a request's tokens as its events are read.

    Until the end each piece of text counts as one token, so that whoever leaves early has paid for what
    was computed; then the exact number is known.
    """

    def __init__(self, events: Events, meter: Meter) -> None:
        self.request_id = events.request_id
        self._events = events
        self._meter = meter
        self._num_charged = 0

    async def next_event(self) -> TextEvent:
        event = await self._events.next_event()
        match event:
            case Accepted(num_prompt_tokens=num_tokens):
                self._charge(num_tokens)
            case OutputDelta():
                self._charge(1)
            case Finished(usage=usage):
                self._charge(usage.num_total_tokens - self._num_charged)
        return event

    def _charge(self, num_tokens: int) -> None:
        self._num_charged += num_tokens
        self._meter.charge(num_tokens)
