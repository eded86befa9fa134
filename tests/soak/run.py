"""Runs the requests and looks at what is left afterwards."""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.live.client import Api, Json, Stream, content, expect, expect_error, leave, take_event, until_idle
from tests.soak.abuse import ABUSES, abuse
from tests.soak.requests import INVALID, KINDS, Known
from tests.soak.watcher import Watcher

NUM_CLIENTS = 40
FREE_TIMEOUT_SECONDS = 60.0
# What MLX holds beside weights, slots and blocks when nothing runs: the newest step's small arrays, and what
# its allocator adds to each block.
MAX_UNACCOUNTED_BYTES = 2 * 1024**2
# Before so many requests the allocators have not yet seen every size.
FEWEST_REQUESTS_FOR_GROWTH = 1500
# Of the second half's resident memory, from its beginning to its end.
MAX_GROWTH_BYTES = 16 * 1024**2


@dataclass(slots=True)
class Report:
    """What became of the requests, and the server's resident memory after each twentieth of them."""

    outcomes: Counter[str] = field(default_factory=Counter)
    resident_bytes: list[int] = field(default_factory=list)
    stats: Json = field(default_factory=dict)
    longest_gap_seconds: float = 0.0  # between two events of a normal stream


async def soak(api: Api, num_requests: int, seed: int, server_pid: int | None) -> Report:
    """Raises CheckFailedError for the first wrong answer, and for whatever is left at the end."""
    draw = random.Random(seed)
    known = await Known.ask(api, draw)
    report = Report()
    pending = iter(range(num_requests))

    async def client() -> None:
        for number in pending:
            kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
            report.outcomes[await _one(api, kind, known, draw)] += 1
            if server_pid and number % max(1, num_requests // 20) == 0:
                report.resident_bytes.append(_resident_bytes(server_pid))

    watcher = Watcher(str(api.http.base_url))
    watcher.start()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(NUM_CLIENTS):
                group.create_task(client())
    finally:
        await asyncio.to_thread(watcher.stop)
    report.longest_gap_seconds = watcher.longest_gap_seconds
    await until_idle(api, FREE_TIMEOUT_SECONDS)
    report.stats = await _last_stats(api)
    _check_left(report)
    return report


async def _one(api: Api, kind: str, known: Known, draw: random.Random) -> str:
    if kind in ABUSES:
        await abuse(api, kind, draw)
        return kind
    body, wanted = known.draw(draw)
    match kind:
        case "leave":
            await leave(api, body, draw.uniform(0.0, 1.0))
            return "left"
        case "leave-stream":
            return await _leave_stream(api, body, draw.randrange(1, 20))
        case "oversized":
            expect_error(await api.post(body | {"max_tokens": 2048}), 400)
            return "refused"
        case "invalid":
            expect_error(await api.post(body | draw.choice(INVALID)), 400)
            return "refused"
        case "choices":
            await _choices(api, body, wanted)
        case "stream":
            _expect_text(await _streamed(api, body), wanted)
        case _:
            response = await api.post(body)
            expect(response.status_code == 200, f"HTTP {response.status_code}: {response.text[:200]}")
            _expect_text(content(response.json()), wanted)
    return "answered"


async def _leave_stream(api: Api, body: Json, num_events: int) -> str:
    async for _ in api.events(body):
        num_events -= 1
        if num_events <= 0:
            break
    return "left"


async def _streamed(api: Api, body: Json) -> str:
    stream = Stream()
    async for event in api.events(body):
        take_event(stream, event)
    expect(stream.is_done, "a stream without an end")
    return stream.text


async def _choices(api: Api, body: Json, wanted: str) -> None:
    """The first choice is the answer to the same request without choices."""
    response = await api.post(body | {"n": 3})
    expect(response.status_code == 200, f"HTTP {response.status_code}: {response.text[:200]}")
    choices = response.json()["choices"]
    expect(len(choices) == 3, f"{len(choices)} choices")
    _expect_text(choices[0]["message"]["content"], wanted)


def _expect_text(text: str, wanted: str) -> None:
    expect(text == wanted, f"another answer than on an idle server: {text[-40:]!r}, not {wanted[-40:]!r}")


async def _last_stats(api: Api) -> Json:
    """Once the step that gives up the last slots is over."""
    stats = await api.stats()
    for _ in range(50):
        if not stats["kv_memory"]["reserved_bytes"]:
            break
        await asyncio.sleep(0.1)
        stats = await api.stats()
    return stats


def _check_left(report: Report) -> None:
    stats = report.stats
    expect(stats["kv_memory"]["reserved_bytes"] == 0, f"slots are reserved: {stats['kv_memory']}")
    left = stats["device_memory"]["unaccounted_bytes"]
    expect(abs(left) <= MAX_UNACCOUNTED_BYTES, f"{left} bytes that nobody accounts for")
    cache = stats["prefix_cache"]
    expect(cache["used_bytes"] <= cache["limit_bytes"], f"the prefix cache is over its limit: {cache}")
    second_half = report.resident_bytes[len(report.resident_bytes) // 2 :]
    if sum(report.outcomes.values()) >= FEWEST_REQUESTS_FOR_GROWTH:
        growth = min(second_half[-2:]) - max(second_half[:2])
        expect(growth <= MAX_GROWTH_BYTES, f"resident memory grows: {report.resident_bytes}")


def _resident_bytes(pid: int) -> int:
    if sys.platform == "darwin":  # no /proc
        shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True)
        return int(shown.stdout or 0) * 1024
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) * 1024 if match else 0
