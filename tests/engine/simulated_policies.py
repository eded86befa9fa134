"""What plain loops make of the same loads: prompts in chunks of a fixed size, and mlx_lm.server's way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.engine.simulated_devices import Device, StepRows
from tests.engine.simulated_loads import Clients, Load, Request, Result, summarise

_PREFILL_BATCH = 8
_PREFILL_TOKENS = 2048
_MAX_BATCH = 32


@dataclass(slots=True, eq=False)
class _Chat:
    request: Request
    num_read: int = 0  # of the prompt

    @property
    def num_unread(self) -> int:
        return self.request.num_prompt_tokens - self.num_read

    @property
    def context(self) -> int:
        return self.num_read + len(self.request.token_seconds)


class _Loop:
    """A clock, the chats that decode and those that wait for that."""

    def __init__(self, device: Device, load: Load) -> None:
        self.device = device
        self.clients: Clients = load.clients()
        self.now = 0.0
        self.decoding: list[_Chat] = []
        self.reading: list[_Chat] = []
        self.longest_stall = 0.0
        self.num_steps = 0
        self._noise: Callable[[], float] = device.noises()

    def arrive(self) -> bool:
        """Takes in who is there, or waits for somebody. False at the end."""
        if not self.decoding and not self.reading:
            if self.clients.next_seconds is None:
                return False
            self.now = max(self.now, self.clients.next_seconds)
        self.reading += [_Chat(request) for request in self.clients.take(self.now)]
        return True

    def run(self, rows: StepRows) -> None:
        self.longest_stall = max(self.longest_stall, self.device.stall_seconds(rows, self.now))
        self.now += self.device.seconds(rows, self.now) * self._noise()
        self.num_steps += 1

    def deliver(self, chats: Iterable[_Chat]) -> None:
        """Each gets a token; those that are done leave."""
        for chat in chats:
            self.clients.receive(chat.request, self.now)
        self.decoding = [chat for chat in self.decoding if not chat.request.is_done]

    def result(self) -> Result:
        return summarise(self.clients.requests, self.longest_stall, self.num_steps)


def fixed_chunks(device: Device, load: Load, num_tokens: int, max_step_tokens: int) -> Result:
    """Beside running streams so many prompt rows a step, whole tiles of the device; else whole steps."""
    loop = _Loop(device, load)
    while loop.arrive():
        room = max_step_tokens if not loop.decoding else _whole(device, len(loop.decoding), num_tokens)
        chosen: list[tuple[_Chat, int]] = []
        for chat in loop.reading:
            if room <= 0 or len(loop.decoding) + len(chosen) >= _MAX_BATCH:
                break
            chosen.append((chat, min(chat.num_unread, room)))
            room -= chosen[-1][1]
        loop.run(_rows(loop.decoding, chosen))
        for chat, num_rows in chosen:
            chat.num_read += num_rows
        ready = [chat for chat, _ in chosen if not chat.num_unread]
        loop.reading = [chat for chat in loop.reading if chat.num_unread]
        loop.decoding += ready
        loop.deliver(loop.decoding)
    return loop.result()


def _whole(device: Device, num_decode_rows: int, num_tokens: int) -> int:
    """``num_tokens``, so changed that whole tiles are filled."""
    total = num_decode_rows + num_tokens
    total -= total % device.multiple
    return total - num_decode_rows if total > num_decode_rows else num_tokens


def plain_loop(device: Device, load: Load) -> Result:
    """mlx_lm.server's: a decode step; then up to eight prompts whole, side by side.

    Those that were read take their first step by themselves. (In truth it looks for new requests every half
    second only, and a first token comes one round later.)
    """
    loop = _Loop(device, load)
    ready: list[_Chat] = []
    while ready or loop.arrive():
        if loop.decoding:
            loop.run(_rows(loop.decoding, []))
            loop.deliver(loop.decoding)
        running, started = bool(loop.decoding), loop.now
        if ready:
            loop.run(_rows(ready, []))
            loop.decoding += ready
            loop.deliver(ready)
        loop.reading += [_Chat(request) for request in loop.clients.take(loop.now)]
        room = min(_PREFILL_BATCH, _MAX_BATCH - len(loop.decoding))
        ready, loop.reading = loop.reading[:room], loop.reading[room:]
        _read_whole(loop, ready)
        if running:
            loop.longest_stall = max(loop.longest_stall, loop.now - started)
    return loop.result()


def _read_whole(loop: _Loop, chats: list[_Chat]) -> None:
    """Side by side: the rows of the shorter ones are filled up to the longest one's."""
    longest = max((chat.num_unread for chat in chats), default=0)
    for start in range(0, longest, _PREFILL_TOKENS):
        num_columns = min(_PREFILL_TOKENS, longest - start)
        context = len(chats) * num_columns * (start + num_columns // 2)
        loop.run(StepRows(0, len(chats) * num_columns, 0, context))
    for chat in chats:
        chat.num_read = chat.request.num_prompt_tokens


def _rows(decoding: list[_Chat], chunks: list[tuple[_Chat, int]]) -> StepRows:
    return StepRows(
        len(decoding),
        sum(num_rows for _, num_rows in chunks),
        sum(chat.context for chat in decoding),
        sum(num_rows * (chat.num_read + num_rows // 2) for chat, num_rows in chunks),
    )
