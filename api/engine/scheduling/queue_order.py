"""Who goes first: by priority, then by each client's fair share, then the shortest prompt. No tensors here.

The shares are the virtual token counters of "Fairness in Serving Large Language Models" (Sheng et al., OSDI
2024): each client's counter grows with what it is charged, whoever has the least goes first, and a client
that comes back from idling is lifted to the least of those that compete, so that idling saves up nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace

from api.engine.sequences.sequence import Sequence

# Each answer token is a row of its own step; a prompt's tokens share steps. The paper's weights.
_PROMPT_TOKEN_COST = 1
_ANSWER_TOKEN_COST = 2
# An answer's length is not known before its end: so much of it is counted ahead.
_FORESEEN_ANSWER_TOKENS = 128
# A prompt's wait counts this much against the time that its prefill would take.
_AGEING = 0.5
# After so long a sequence stands with those of the next better priority that is there, and so on.
_PRIORITY_STEP_SECONDS = 30.0
# Clients without sequences whose counters are kept; the one that has been away longest is forgotten first.
_MAX_DEPARTED_CLIENTS = 1024


@dataclass(slots=True)
class _Client:
    charged: int  # prompt and answer tokens by their costs; only differences between clients mean anything
    sequences: dict[int, Sequence] = field(default_factory=dict)  # those that arrived and did not leave

    @property
    def is_competing(self) -> bool:
        """Whether it waits for others: what decodes takes part in each step and needs no turn."""
        return any(not sequence.is_decoding for sequence in self.sequences.values())


class QueueOrder:
    """Orders the sequences that wait for a place in the batch, and those whose prompts are being prefilled.

    Owned by the batch thread. It looks at sequences and changes none. Each sequence is added by ``add``
    once, before any other call with it, and let go by ``remove`` once, whatever happens to it in between
    (admission, preemption, recovery).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock``: the one that the sequences' ``arrival_seconds`` are of."""
        self._clock = clock
        self._clients: dict[str, _Client] = {}
        self._departed: dict[str, int] = {}  # client id -> charged; the longest away first

    def add(self, sequence: Sequence) -> None:
        client = self._clients.get(sequence.client_id)
        if client is None:
            client = self._clients[sequence.client_id] = _Client(self._departed.pop(sequence.client_id, 0))
        if not client.is_competing:
            self._lift(client)
        client.sequences[sequence.sequence_id] = sequence

    def remove(self, sequence: Sequence) -> None:
        client = self._clients[sequence.client_id]
        del client.sequences[sequence.sequence_id]
        if not client.sequences:
            del self._clients[sequence.client_id]
            self._departed[sequence.client_id] = client.charged
            if len(self._departed) > _MAX_DEPARTED_CLIENTS:
                del self._departed[next(iter(self._departed))]

    def charge(self, sequence: Sequence, num_prompt_rows: int, num_answer_rows: int) -> None:
        """Counts what a step gives a sequence, but no rows that are computed again after a preemption."""
        cost = num_prompt_rows * _PROMPT_TOKEN_COST + num_answer_rows * _ANSWER_TOKEN_COST
        self._clients[sequence.client_id].charged += cost

    def sorted(self, sequences: Collection[Sequence], seconds_per_row: float) -> list[Sequence]:
        """All of them, the one that goes first first.

        Among those of one priority the clients take turns, by what each was charged and what those of its
        sequences that stand before will get. One client's go by the seconds that prefill takes, less half
        the wait. O(n log n).
        """
        now_seconds = self._clock()

        def urgency(sequence: Sequence) -> float:
            wait_seconds = now_seconds - sequence.arrival_seconds
            return sequence.num_remaining * seconds_per_row - _AGEING * wait_seconds

        charged = {client_id: client.charged for client_id, client in self._clients.items()}
        by_level: dict[int, list[Sequence]] = {}
        for sequence, level in zip(sequences, _levels(sequences, now_seconds), strict=True):
            by_level.setdefault(level, []).append(sequence)
        ordered: list[Sequence] = []
        for _, together in sorted(by_level.items()):
            ordered += _take_turns(together, charged, urgency)
        return ordered

    def preemption_victim(self, running: Collection[Sequence]) -> Sequence:
        """The one of the worst priority, and of those the youngest: so the oldest comes to its end."""
        return max(running, key=lambda s: (s.priority, s.arrival_seconds, s.sequence_id))

    @property
    def num_clients(self) -> int:
        """Clients that are remembered, present or not."""
        return len(self._clients) + len(self._departed)

    def _lift(self, client: _Client) -> None:
        """Gives away the credit of a client that begins to compete; where nobody does, all begin anew."""
        competing = [each.charged for each in self._clients.values() if each.is_competing]
        if competing:
            client.charged = max(client.charged, min(competing))
            return
        self._departed.clear()
        for each in self._clients.values():
            each.charged = 0


def _levels(sequences: Collection[Sequence], now_seconds: float) -> list[int]:
    """Each one's priority as its rank among those present, 0 for the best, less one for each step waited.

    By ranks, since the numbers are the clients' choice: between 0 and 1,000 there is nothing to wait for.
    """
    ranks = {priority: rank for rank, priority in enumerate(sorted({s.priority for s in sequences}))}
    if len(ranks) < 2:
        return [0] * len(sequences)
    return [
        max(0, ranks[s.priority] - int((now_seconds - s.arrival_seconds) / _PRIORITY_STEP_SECONDS))
        for s in sequences
    ]


def _take_turns(
    sequences: list[Sequence], charged: dict[str, int], urgency: Callable[[Sequence], float]
) -> list[Sequence]:
    """Merges the clients' lines; ``charged`` goes on from what it was, and is changed."""
    lines: dict[str, list[tuple[float, int, Sequence]]] = {}
    for sequence in sequences:
        entry = (urgency(sequence), sequence.sequence_id, sequence)
        lines.setdefault(sequence.client_id, []).append(entry)
    for line in lines.values():
        line.sort(key=lambda entry: entry[:2], reverse=True)  # the first is the last: popped in O(1)
    heads = [(charged[client_id], line[-1][:2], client_id) for client_id, line in lines.items()]
    heapify(heads)
    ordered: list[Sequence] = []
    while heads:
        client_id = heads[0][2]
        line = lines[client_id]
        ordered.append(line.pop()[2])
        charged[client_id] += _foreseen_cost(ordered[-1])
        if line:
            heapreplace(heads, (charged[client_id], line[-1][:2], client_id))
        else:
            heappop(heads)
    return ordered


def _foreseen_cost(sequence: Sequence) -> int:
    num_answer_tokens = min(sequence.max_tokens - sequence.num_sampled, _FORESEEN_ANSWER_TOKENS)
    return sequence.num_remaining * _PROMPT_TOKEN_COST + max(0, num_answer_tokens) * _ANSWER_TOKEN_COST
