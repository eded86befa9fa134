"""Which of the possible chunks a step prefills beside running streams: by what each adds to a plain one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.engine.budget.prompt_line import PromptLine

# Rows that add no more than this part of the step are as good as free.
_FREE_SHARE = 0.02
# Rows that add no more than this part of the plain step trouble nobody, so prompts need not be spread.
_CHEAP_SHARE = 0.5
# What a prompt that is in time may cost in throughput, where its prefill in other chunks would be cheaper.
_MOST_LOSS = 0.05
# So late, as a multiple of what is due, it may cost more; so late, others wait longer than the target.
_LATE = 1.0
_VERY_LATE = 2.0
# Then a chunk may take so many steps of all streams: by more, little is prefilled sooner.
_MOST_STEPS = 2
# Where even the smallest chunk misses the target: larger ones may miss it so many times as far, if they cost
# less by more than the loss that is allowed then.
_MOST_EXCESS = 4
_MOST_LOSS_IN_EXCESS = 0.1


@dataclass(frozen=True, slots=True)
class Chunk:
    """A number of prompt rows, of all prompts together."""

    num_rows: int
    added_seconds: float  # to the plain step
    hoped_seconds: float  # the same, at the best: less where this size was not measured


@dataclass(frozen=True, slots=True)
class Running:
    """The streams that a chunk holds up, and what their tokens cost."""

    plain_seconds: float  # of their step without prompts
    full_seconds: float  # of such a step once those that are being prefilled take part in it
    num_streams: int  # that do then
    # What is forgone while prompts wait, as a part of the time: the tokens that they would add to each plain
    # step, less what their rows would cost.
    forgone_share: float = 0.0

    def cost(self, chunk: Chunk) -> float:
        """Seconds for a prompt row and a token of an answer."""
        return self._cost(chunk.added_seconds, chunk.num_rows)

    def hoped_cost(self, chunk: Chunk) -> float:
        return self._cost(chunk.hoped_seconds, chunk.num_rows)

    def _cost(self, added_seconds: float, num_rows: int) -> float:
        forgone_seconds = self.forgone_share * (self.plain_seconds + added_seconds)
        return (added_seconds + forgone_seconds) / num_rows + self.full_seconds / self.num_streams


def choose_chunk(chunks: Sequence[Chunk], running: Running, stall_seconds: float, line: PromptLine) -> Chunk:
    """One of ``chunks``, which are sorted; at least one.

    Within the target, chunks that cost little are preferred, until prompts are late. Once they are very late,
    more prompts than answers come in: then the target grows, as much as the line needs.
    """
    allowed = _allowed(chunks, running, stall_seconds, line)
    hoped, known = min(allowed, key=running.hoped_cost), min(allowed, key=running.cost)
    is_promising = running.hoped_cost(hoped) < (1 - _MOST_LOSS) * running.cost(known)
    if is_promising and hoped.num_rows <= sum(line.num_tokens):
        return hoped  # nobody knows yet: it is tried
    good = _good(allowed, running, _MOST_LOSS + max(0.0, line.lateness - _LATE))
    cheap = _CHEAP_SHARE * running.plain_seconds
    wanted = max([line.num_rows, *(chunk.num_rows for chunk in allowed if chunk.added_seconds <= cheap)])
    chosen = next((chunk for chunk in good if chunk.num_rows >= wanted), good[-1])
    return _with_free_rows(chosen, allowed, running)


def _allowed(
    chunks: Sequence[Chunk], running: Running, stall_seconds: float, line: PromptLine
) -> list[Chunk]:
    """Those within the target, and what late prompts need beyond it.

    Beside them those that gain as much throughput as they miss the target by; and where all miss it, up to
    the smallest one that costs little more than the best.
    """
    within = [chunk for chunk in chunks if chunk.added_seconds <= stall_seconds]
    late = _late_seconds(chunks, running, stall_seconds, line) if line.lateness > _VERY_LATE else 0.0
    if not within:
        limit = max(late, _least_excess(chunks, running).added_seconds)
        return [chunk for chunk in chunks if chunk.added_seconds <= limit]
    best = min(running.cost(chunk) for chunk in within)
    gains = (max(1.0, best / running.cost(chunk)) for chunk in chunks)
    limits = (max(late, stall_seconds * gain) for gain in gains)
    return [c for c, limit in zip(chunks, limits, strict=True) if c.added_seconds <= limit]


def _late_seconds(chunks: Sequence[Chunk], running: Running, stall_seconds: float, line: PromptLine) -> float:
    """The target, grown with lateness, but not beyond what the line needs."""
    within = [chunk.num_rows for chunk in chunks if chunk.added_seconds <= stall_seconds]
    num_rows = line.num_late_rows(most_of_one=within[-1] if within else chunks[0].num_rows)
    needed = next((chunk for chunk in chunks if chunk.num_rows >= num_rows), chunks[-1])
    grown = stall_seconds * (line.lateness / _VERY_LATE) ** 2
    return min(grown, needed.added_seconds, _MOST_STEPS * running.full_seconds)


def _least_excess(chunks: Sequence[Chunk], running: Running) -> Chunk:
    most = _MOST_EXCESS * chunks[0].added_seconds
    return _good([c for c in chunks if c.added_seconds <= most], running, _MOST_LOSS_IN_EXCESS)[0]


def _good(chunks: Sequence[Chunk], running: Running, loss: float) -> list[Chunk]:
    most = (1 + loss) * min(running.hoped_cost(chunk) for chunk in chunks)
    return [chunk for chunk in chunks if running.hoped_cost(chunk) <= most]


def _with_free_rows(chosen: Chunk, allowed: Sequence[Chunk], running: Running) -> Chunk:
    """A larger chunk that costs the same; of those that were not measured yet the first is tried."""
    free = chosen.added_seconds + _FREE_SHARE * (chosen.added_seconds + running.plain_seconds)
    for chunk in allowed:
        if chunk.num_rows <= chosen.num_rows:
            continue
        if chunk.hoped_seconds > free:
            return chosen
        chosen = chunk
        if chunk.added_seconds > free:
            return chosen
    return chosen
