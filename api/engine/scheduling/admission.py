"""Who waits and who runs: the way into the batch, and the ways out of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container

from api.engine.budget.step_budget import StepBudget
from api.engine.memory.sequence_memory import SequenceMemory
from api.engine.scheduling.queue_order import QueueOrder
from api.engine.sequences.sequence import Sequence
from api.engine.sequences.siblings import find_sibling
from api.engine.speculation.speculation import Speculation


class Admission:
    """Owns the sequences of the batch: each one that was added waits or runs until it is dropped."""

    def __init__(
        self,
        memory: SequenceMemory,
        budget: StepBudget,
        speculation: Speculation,
        max_batch_size: int,
        clock: Callable[[], float],
    ) -> None:
        self.waiting: list[Sequence] = []
        self.running: dict[int, Sequence] = {}  # by sequence id
        self.num_preemptions = 0
        self.order = QueueOrder(clock)
        self._memory = memory
        self._budget = budget
        self._speculation = speculation
        self._max_batch_size = max_batch_size
        self._clock = clock
        self._released: dict[int, bool] = {}  # sequence id -> whether it has ended

    @property
    def has_sequences(self) -> bool:
        return bool(self.waiting or self.running)

    @property
    def has_released(self) -> bool:
        """Whether the next plan has somebody to let go."""
        return bool(self._released)

    def find(self, request_id: str, choice_index: int | None = None) -> list[Sequence]:
        """A request's sequences, or that of one choice."""
        of_request = [s for s in (*self.waiting, *self.running.values()) if s.request_id == request_id]
        return [s for s in of_request if choice_index in (None, s.choice_index)]

    def take_released(self) -> dict[int, bool]:
        """Those that gave up their slot since the last plan, by id, and whether they have ended."""
        released, self._released = self._released, {}
        return released

    # --- in --------------------------------------------------------------------------------------

    def add(self, sequence: Sequence) -> None:
        """Puts a sequence in line."""
        self.order.add(sequence)
        self.waiting.append(sequence)

    def admit(self, newest_ids: Collection[int]) -> None:
        """Gives slots to those that wait, the most urgent first, until rows or bytes run out.

        ``newest_ids``: of the sequences in the newest step.
        """
        if not self.waiting or len(self.running) >= self._max_batch_size:
            return
        active_ids = {sequence_id for sequence_id in newest_ids if sequence_id in self.running}
        for sequence in self.order.sorted(self.waiting, self._budget.seconds_per_row):
            if len(self.running) >= self._max_batch_size:
                return
            sibling = None
            if self._memory.can_copy:
                sibling = find_sibling(sequence, self.running.values(), self._budget.max_step_tokens)
            if self._is_being_prefilled(sequence, sibling, active_ids):
                continue
            if not self._memory.admit(sequence, self._clock(), sibling):
                return
            self.waiting.remove(sequence)
            self.running[sequence.sequence_id] = sequence
            active_ids.add(sequence.sequence_id)

    def make_room(self, sequence: Sequence) -> bool:
        """Moves a sequence up where its slot is full; preempts others, or it, while bytes are short.

        Nobody has to go for the sake of one step: where slots become free behind this one, it waits.
        """
        while not self._memory.grow(sequence):
            if self._memory.frees_more:
                return False
            victim = self.order.preemption_victim(self.running.values())
            self.num_preemptions += 1
            self.preempt(victim)
            if victim is sequence:
                return False
        return True

    def _is_being_prefilled(
        self, sequence: Sequence, sibling: Sequence | None, active_ids: Container[int]
    ) -> bool:
        """Whether others are just computing what the sequence begins with: once is enough."""
        if sibling is not None:
            return sibling.num_computed < sequence.num_prompt_tokens - 1
        return not sequence.is_suspect and self._memory.is_awaited(sequence, active_ids)

    # --- out -------------------------------------------------------------------------------------

    def preempt(self, sequence: Sequence) -> None:
        """Back to the line; what it knows is computed again when it resumes."""
        self._leave_batch(sequence, saves=False)
        sequence.restart()
        self._released[sequence.sequence_id] = False
        self.waiting.append(sequence)

    def drop(self, sequence: Sequence) -> None:
        """Lets it go for good. Its blocks are saved, unless they may be what raises."""
        if sequence.sequence_id in self.running:
            self._leave_batch(sequence, saves=not sequence.is_suspect)
        else:
            self.waiting.remove(sequence)
            self._memory.free(sequence, saves=False)
        self.order.remove(sequence)
        self._released[sequence.sequence_id] = True

    def _leave_batch(self, sequence: Sequence, *, saves: bool) -> None:
        del self.running[sequence.sequence_id]
        self._memory.free(sequence, saves=saves)
        self._speculation.forget(sequence.sequence_id)
