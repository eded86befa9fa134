"""Sequences that wait for their turn, without a batch."""

from __future__ import annotations

from api.engine.scheduling.queue_order import QueueOrder
from api.engine.sequences.sequence import Sequence
from tests.engine.factories import create_sequence
from tests.engine.fake_generator import FakeClock

SECONDS_PER_ROW = 0.001


class Line:
    """A queue of sequences that wait, and its clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.order = QueueOrder(self.clock)
        self.waiting: list[Sequence] = []
        self.num_sequences = 0

    def add(self, client_id: str = "", num_prompt_tokens: int = 10, priority: int = 0) -> Sequence:
        self.num_sequences += 1
        sequence = create_sequence(
            self.num_sequences, num_prompt_tokens, arrival_seconds=self.clock.now, max_tokens=10
        )
        sequence.client_id, sequence.priority = client_id, priority
        self.order.add(sequence)
        self.waiting.append(sequence)
        return sequence

    def add_many(self, client_id: str, count: int, **settings: int) -> list[Sequence]:
        return [self.add(client_id, **settings) for _ in range(count)]

    def sorted(self) -> list[Sequence]:
        return self.order.sorted(self.waiting, SECONDS_PER_ROW)

    @property
    def clients(self) -> str:
        return "".join(sequence.client_id for sequence in self.sorted())

    def serve_next(self) -> Sequence:
        """Reads the first one's prompt and writes its whole answer."""
        sequence = self.sorted()[0]
        self.order.charge(sequence, sequence.num_prompt_tokens, sequence.max_tokens)
        self.let_go(sequence)
        return sequence

    def let_go(self, sequence: Sequence) -> None:
        self.waiting.remove(sequence)
        self.order.remove(sequence)
