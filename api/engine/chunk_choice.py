"""Which of the possible chunks a step reads beside running streams: by what each adds to the plain step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.engine.prompt_line import PromptLine

# Rows that add no more than this part of the step are as good as free.
_FREE_SHARE = 0.02
# Rows that add no more than this part of the plain step trouble nobody, so prompts need not be spread.
_CHEAP_SHARE = 0.5
# What a prompt that is in time may cost in throughput, where reading it in other chunks would be cheaper.
_MOST_LOSS = 0.05
# So late, as a multiple of what is due, it may cost more; so late, others wait longer than the target.
_LATE = 0.5
_VERY_LATE = 2.0
# Then a chunk may take so many plain steps: by more, little is read sooner, and running streams wait long.
_MOST_STEPS = 3
# Where even the smallest chunk misses the target: larger ones may miss it so many times as far, if they cost
# less by more than the loss that is allowed then.
_MOST_EXCESS = 4
_MOST_LOSS_IN_EXCESS = 0.1


@dataclass(frozen=True, slots=True)
class Chunk:
    """A number of prompt rows, of all prompts together."""

    num_rows: int
    added_seconds: float  # to the plain step
    is_known: bool = True  # steps of this size were measured


@dataclass(frozen=True, slots=True)
class Running:
    """The streams that a chunk holds up."""

    num_rows: int
    plain_seconds: float  # of their step without prompts

    def cost(self, chunk: Chunk) -> float:
        """Seconds for each prompt row, beside those that an answer's token takes."""
        return chunk.added_seconds / chunk.num_rows + self.plain_seconds / self.num_rows


def choose_chunk(chunks: Sequence[Chunk], running: Running, stall_seconds: float, line: PromptLine) -> Chunk:
    """One of ``chunks``, which are sorted; at least one.

    Within the target, chunks that cost little are preferred, until prompts are late. Once they are very late,
    more prompts than answers come in: then the target grows, as much as the line needs.
    """
    limit = _limit(chunks, running, stall_seconds, line)
    allowed = [chunk for chunk in chunks if chunk.added_seconds <= limit]
    if not allowed:
        return _least_excess(chunks, running, limit)
    good = _good(allowed, running, _MOST_LOSS + max(0.0, line.lateness - _LATE))
    cheap = [
        chunk.num_rows for chunk in allowed if chunk.added_seconds <= _CHEAP_SHARE * running.plain_seconds
    ]
    wanted = max([line.num_rows, *cheap[-1:]])
    chosen = next((chunk for chunk in good if chunk.num_rows >= wanted), good[-1])
    return _with_free_rows(chosen, allowed, running)


def _limit(chunks: Sequence[Chunk], running: Running, stall_seconds: float, line: PromptLine) -> float:
    if line.lateness <= _VERY_LATE:
        return stall_seconds
    within = [chunk.num_rows for chunk in chunks if chunk.added_seconds <= stall_seconds]
    num_rows = line.num_late_rows(most_of_one=within[-1] if within else chunks[0].num_rows)
    needed = next((chunk for chunk in chunks if chunk.num_rows >= num_rows), chunks[-1])
    grown = stall_seconds * (line.lateness / _VERY_LATE) ** 2
    return max(stall_seconds, min(grown, needed.added_seconds, _MOST_STEPS * running.plain_seconds))


def _least_excess(chunks: Sequence[Chunk], running: Running, limit: float) -> Chunk:
    """The smallest chunk that costs little more than the best, where all of them miss the target."""
    most = _MOST_EXCESS * max(limit, chunks[0].added_seconds)
    return _good([c for c in chunks if c.added_seconds <= most], running, _MOST_LOSS_IN_EXCESS)[0]


def _good(chunks: Sequence[Chunk], running: Running, loss: float) -> list[Chunk]:
    most = (1 + loss) * min(running.cost(chunk) for chunk in chunks)
    return [chunk for chunk in chunks if running.cost(chunk) <= most]


def _with_free_rows(chosen: Chunk, allowed: Sequence[Chunk], running: Running) -> Chunk:
    """A larger chunk that costs the same; of those that were not measured yet the first is tried."""
    free = chosen.added_seconds + _FREE_SHARE * (chosen.added_seconds + running.plain_seconds)
    for chunk in allowed:
        if chunk.num_rows <= chosen.num_rows:
            continue
        if chunk.added_seconds > free:
            return chosen if chunk.is_known else chunk
        chosen = chunk
    return chosen
