"""Decides what each step computes. Pure Python: it knows sequences, slots and time, but no tensors.

``plan = scheduler.schedule(); sampled = generator.step(plan); outputs = scheduler.update(sampled)``

The generator returns the tokens of the step *before* the one it dispatches, so a sequence can have a
token in flight; its next row then refers to that token instead of naming it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable

from api.engine.budget.step_budget import StepBudget
from api.engine.memory.sequence_memory import SequenceMemory
from api.engine.scheduling.prompt_chunks import choose_chunks
from api.engine.scheduling.prompt_wave import PromptWave, pause_seconds
from api.engine.scheduling.queue_order import QueueOrder
from api.engine.scheduling.scheduler_stats import scheduler_stats
from api.engine.scheduling.sequence_outputs import as_api_error, last_output, prompt_output, token_output
from api.engine.scheduling.spans import make_spans
from api.engine.scheduling.step_history import StepHistory
from api.engine.sequences.sequence import Sequence
from api.engine.sequences.siblings import find_sibling
from api.engine.speculation.speculation import NoSpeculation, Speculation
from api.stats import SchedulerStats
from api.step_plan import DraftedTokens, SampledToken, ScoredTokens, Span, StepNews, StepOutput, StepPlan
from api.types import FinishReason


class Scheduler:
    """Owned by the batch thread. Every sequence added leaves by exactly one last ``StepOutput``."""

    def __init__(
        self,
        memory: SequenceMemory,
        budget: StepBudget,
        max_batch_size: int,
        clock: Callable[[], float] = time.monotonic,
        speculation: Speculation | None = None,
    ) -> None:
        """``speculation``: of a forward that can rewind; None: plain decoding."""
        self._memory = memory
        self._budget = budget
        self._max_batch_size = max_batch_size
        self._clock = clock
        self._order = QueueOrder(clock)
        self._wave = PromptWave(budget)
        self._waiting: list[Sequence] = []
        self._running: dict[int, Sequence] = {}
        self._speculation = speculation or NoSpeculation()
        self._dispatched = StepHistory(budget, self._speculation.observe)
        self._released: dict[int, bool] = {}  # sequence id -> whether it has ended
        self._has_newest_in_flight = False  # whether the last plan had rows, which are not read yet
        self._num_preemptions = 0
        self._has_failed_blameless = False

    # --- requests come and go --------------------------------------------------------------------

    def add(self, sequence: Sequence) -> None:
        """Puts a sequence in line. Its prompt and answer must fit ``max_sequence_tokens``."""
        self._order.arrive(sequence)
        self._waiting.append(sequence)

    def cancel(self, request_id: str, choice_index: int | None = None) -> list[StepOutput]:
        """Drops a request's sequences, or that of one choice, at once; [] when it has none."""
        of_request = [s for s in (*self._waiting, *self._running.values()) if s.request_id == request_id]
        found = [s for s in of_request if choice_index in (None, s.choice_index)]
        for sequence in found:
            self._drop(sequence)
        return [last_output(sequence, FinishReason.CANCELLED) for sequence in found]

    @property
    def has_work(self) -> bool:
        """Whether ``schedule`` has anything to say: rows, a step to read back, or memory to give up."""
        return bool(self._waiting or self._running or self._dispatched or self._released)

    @property
    def pause_seconds(self) -> float:
        """How long the first step may be put off for others that come together with who waits; else 0."""
        return 0.0 if self._running or self._dispatched else pause_seconds(self._waiting, self._budget)

    def stats(self) -> SchedulerStats:
        numbers = (len(self._running), len(self._waiting), self._num_preemptions)
        return scheduler_stats(*numbers, self._memory, self._speculation)

    # --- one step --------------------------------------------------------------------------------

    def schedule(self) -> StepPlan:
        """Plans the next step and counts its tokens as computed. May be empty: then it only reads back."""
        self._memory.keep(self._running.values())
        self._admit()
        if not self._waiting:
            self._memory.tidy()
        chosen = self._choose()
        spans = make_spans(chosen)
        plan = self._make_plan(spans)
        self._has_newest_in_flight = bool(spans)
        if spans:
            self._count_computed(chosen, plan)
        return plan

    def _make_plan(self, spans: tuple[Span, ...]) -> StepPlan:
        changes = self._memory.take_changes()
        released, self._released = self._released, {}
        return StepPlan(
            released=tuple(released),
            ended=tuple(sequence_id for sequence_id, has_ended in released.items() if has_ended),
            dropped_blocks=self._memory.prefixes.take_dropped(),
            saves=tuple(changes.saves),
            compactions=tuple(changes.compactions),
            num_slots=self._memory.slots.num_slots,
            moves=tuple(changes.moves),
            loads=tuple(changes.loads),
            drafts=self._speculation.take_drafts(),
            spans=spans,
        )

    def update(self, sampled: Iterable[StepNews], read_seconds: float | None = None) -> list[StepOutput]:
        """Takes what was read of the oldest step that is not read yet; ends the sequences that are done.

        ``read_seconds``: the clock's time when that step had ended; None: now.
        """
        self._has_failed_blameless = False
        now_seconds = self._clock() if read_seconds is None else read_seconds
        self._dispatched.read(now_seconds, num_unread=int(self._has_newest_in_flight))
        # One by one: a token may end its sequence or refute what was proposed next.
        return [output for each in sampled if (output := self._take(each)) is not None]

    def recover(self, error: Exception) -> list[StepOutput]:
        """After a step raised: finds the culprit without losing the others.

        The sequences of the steps under way start again and run alone until each has survived a step. One
        that raises alone fails. Where none was, all start again; ``error`` is raised the second time.
        """
        involved = self._dispatched.sequence_ids
        if not involved:
            return self._recover_blameless(error)
        self._dispatched.clear()
        self._memory.clear()
        outputs = []
        for sequence in list(self._running.values()):
            if involved == {sequence.sequence_id}:
                self._drop(sequence)
                outputs.append(last_output(sequence, error=as_api_error(error)))
            else:
                sequence.is_suspect = sequence.is_suspect or sequence.sequence_id in involved
                self._preempt(sequence)
        return outputs

    def restart(self) -> None:
        """The device's memory is lost: all sequences start again, none of them to blame."""
        self._dispatched.clear()
        self._memory.clear()
        for sequence in list(self._running.values()):
            self._preempt(sequence)

    def _recover_blameless(self, error: Exception) -> list[StepOutput]:
        if self._has_failed_blameless:
            raise error
        self._has_failed_blameless = True
        self.restart()
        return []

    # --- admission and memory --------------------------------------------------------------------

    def _admit(self) -> None:
        """Gives slots to waiting sequences, the most urgent first, until rows or bytes run out."""
        if not self._waiting or len(self._running) >= self._max_batch_size:
            return
        active_ids = set(self._dispatched.newest_ids & self._running.keys())
        for sequence in self._order.sorted(self._waiting, self._budget.seconds_per_row):
            if len(self._running) >= self._max_batch_size:
                return
            sibling = None
            if self._memory.can_copy:
                sibling = find_sibling(sequence, self._running.values(), self._budget.max_step_tokens)
            if self._is_about_to_be_read(sequence, sibling, active_ids):
                continue
            if not self._memory.enter(sequence, sibling):
                return
            self._waiting.remove(sequence)
            self._running[sequence.sequence_id] = sequence
            sequence.admitted_seconds = self._clock()
            active_ids.add(sequence.sequence_id)

    def _is_about_to_be_read(
        self, sequence: Sequence, sibling: Sequence | None, active_ids: Container[int]
    ) -> bool:
        """Whether others are just reading what the sequence begins with: once is enough."""
        if sibling is not None:
            return sibling.num_computed < sequence.num_prompt_tokens - 1
        return not sequence.is_suspect and self._memory.is_awaited(sequence, active_ids)

    def _make_room(self, sequence: Sequence) -> bool:
        """Moves a sequence up where its slot is full; preempts others, or it, while bytes are short.

        Nobody has to go for the sake of one step: where slots become free behind this one, it waits.
        """
        while not self._memory.grow(sequence):
            if self._memory.frees_more:
                return False
            victim = self._order.preemption_victim(self._running.values())
            self._num_preemptions += 1
            self._preempt(victim)
            if victim is sequence:
                return False
        return True

    def _preempt(self, sequence: Sequence) -> None:
        """Back to the line; what it knows is computed again later."""
        self._forget(sequence, is_kept=False)
        sequence.restart()
        self._released[sequence.sequence_id] = False
        self._waiting.append(sequence)

    def _drop(self, sequence: Sequence) -> None:
        if sequence.sequence_id in self._running:
            self._forget(sequence, is_kept=not sequence.is_suspect)
        else:
            self._waiting.remove(sequence)
            self._memory.leave(sequence, is_kept=False)
        self._order.leave(sequence)
        self._released[sequence.sequence_id] = True

    def _forget(self, sequence: Sequence, *, is_kept: bool) -> None:
        del self._running[sequence.sequence_id]
        self._memory.leave(sequence, is_kept=is_kept)
        self._speculation.forget(sequence.sequence_id)

    # --- which rows ------------------------------------------------------------------------------

    def _choose(self) -> list[tuple[Sequence, int]]:
        """The sequences of the next step, each with its number of rows."""
        suspects = [s for s in self._running.values() if s.is_suspect]
        if suspects:
            return self._choose_alone(suspects[0])
        running = list(self._running.values())
        decoding = [s for s in running if s.is_decoding and not s.is_exhausted]
        reading = [s for s in running if not s.is_decoding and s.num_remaining > 0]
        reading = self._order.sorted(reading, self._budget.seconds_per_row)
        now_seconds = self._clock()
        waits = self._wave.waits(decoding, reading, now_seconds)
        if waits.decoding:
            decoding = []
        if self._speculation.reads_first(decoding):
            return []
        # Making room for one may preempt another, before or after its turn.
        decoding = [s for s in decoding if s.sequence_id in self._running and self._make_room(s)]
        decoding = [s for s in decoding if s.sequence_id in self._running]
        reading = [s for s in reading if s.sequence_id in self._running]
        self._speculation.propose(decoding)
        chosen = [(s, 1 + len(s.proposals)) for s in decoding]
        num_rows, stop = sum(num_rows for _, num_rows in chosen), self._memory.tokens_to_stop
        return chosen + choose_chunks(
            reading, num_rows, self._budget, stop, now_seconds, waits.last_token_ids
        )

    def _choose_alone(self, suspect: Sequence) -> list[tuple[Sequence, int]]:
        """Only this one, and nothing before its last step is read."""
        if self._dispatched:
            return []
        num_rows = min(suspect.num_remaining, self._budget.max_step_tokens)
        return [(suspect, suspect.rows_within(num_rows, self._budget.max_scored_rows))]

    def _count_computed(self, chosen: list[tuple[Sequence, int]], plan: StepPlan) -> None:
        self._dispatched.add(chosen, self._clock(), plan.drafts)
        for sequence, num_rows in chosen:
            num_prompt_rows = 0 if sequence.is_decoding else sequence.num_unread(num_rows)
            self._order.served(sequence, num_prompt_rows, int(sequence.is_decoding))
            sequence.compute(num_rows - len(sequence.proposals))
            if sequence.num_remaining == 0:
                sequence.num_in_flight += 1

    # --- what came back --------------------------------------------------------------------------

    def _take(self, read: StepNews) -> StepOutput | None:
        """None for what comes too late: its sequence has ended or started again."""
        sequence = self._running.get(read.sequence_id)
        if sequence is None:
            return None
        if isinstance(read, DraftedTokens):
            sequence.proposals = read.token_ids
            return None
        if isinstance(read, ScoredTokens):
            return prompt_output(sequence, read)
        return self._append(sequence, read) if sequence.num_in_flight else None

    def _append(self, sequence: Sequence, token: SampledToken) -> StepOutput:
        if token.error is not None:
            self._drop(sequence)
            return last_output(sequence, error=token.error)
        if sequence.receive(token.token_id):
            self._speculation.accept(sequence.sequence_id)
            self._order.served(sequence, 0, 1)
        sequence.is_suspect = False  # it got through what raised; a chunk of its prompt alone proves nothing
        output = token_output(sequence, token)
        if output.is_last:
            self._drop(sequence)
        return output
