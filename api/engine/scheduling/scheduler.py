"""Decides what each step computes. Pure Python: it knows sequences, slots and time, but no tensors.

``plan = scheduler.schedule(); sampled = generator.step(plan); outputs = scheduler.update(sampled)``

The generator returns the tokens of the step *before* the one it dispatches, so a sequence can have a
token in flight; its next row then refers to that token instead of naming it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from api.engine.budget.step_budget import StepBudget
from api.engine.memory.sequence_memory import SequenceMemory
from api.engine.scheduling.admission import Admission
from api.engine.scheduling.prompt_chunks import choose_chunks
from api.engine.scheduling.prompt_wave import PromptWave, pause_seconds
from api.engine.scheduling.scheduler_stats import scheduler_stats
from api.engine.scheduling.sequence_outputs import as_api_error, last_output, prompt_output, token_output
from api.engine.scheduling.spans import make_spans
from api.engine.scheduling.step_history import StepHistory
from api.engine.sequences.sequence import Sequence
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
        self._clock = clock
        self._speculation = speculation or NoSpeculation()
        self._batch = Admission(memory, budget, self._speculation, max_batch_size, clock)
        self._wave = PromptWave(budget)
        self._dispatched = StepHistory(budget, self._speculation.observe)
        self._has_newest_in_flight = False  # whether the last plan had rows, which are not read yet
        self._has_failed_blameless = False

    # --- requests come and go --------------------------------------------------------------------

    def add(self, sequence: Sequence) -> None:
        """Puts a sequence in line. Its prompt and answer must fit ``max_sequence_tokens``."""
        self._batch.add(sequence)

    def cancel(self, request_id: str, choice_index: int | None = None) -> list[StepOutput]:
        """Drops a request's sequences, or that of one choice, at once; [] when it has none."""
        found = self._batch.find(request_id, choice_index)
        for sequence in found:
            self._batch.drop(sequence)
        return [last_output(sequence, FinishReason.CANCELLED) for sequence in found]

    @property
    def has_work(self) -> bool:
        """Whether ``schedule`` has anything to say: rows, a step to read back, or memory to give up."""
        return bool(self._batch.has_sequences or self._dispatched or self._batch.has_released)

    @property
    def pause_seconds(self) -> float:
        """How long the first step may be put off for others that come together with who waits; else 0."""
        if self._batch.running or self._dispatched:
            return 0.0
        return pause_seconds(self._batch.waiting, self._budget)

    def stats(self) -> SchedulerStats:
        return scheduler_stats(self._batch, self._memory, self._speculation)

    # --- one step --------------------------------------------------------------------------------

    def schedule(self) -> StepPlan:
        """Plans the next step and counts its tokens as computed. May be empty: then it only reads back."""
        self._memory.save(self._batch.running.values())
        self._batch.admit(self._dispatched.newest_ids)
        if not self._batch.waiting:
            self._memory.tidy()
        chosen = self._choose()
        spans = make_spans(chosen)
        plan = self._make_plan(spans)
        self._has_newest_in_flight = bool(spans)
        if spans:
            self._count_dispatched(chosen, plan)
        return plan

    def _make_plan(self, spans: tuple[Span, ...]) -> StepPlan:
        changes = self._memory.take_changes()
        released = self._batch.take_released()
        return StepPlan(
            released=tuple(released),
            ended=tuple(sequence_id for sequence_id, has_ended in released.items() if has_ended),
            evicted_blocks=self._memory.prefixes.finish_plan(),
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

    # --- which rows ------------------------------------------------------------------------------

    def _choose(self) -> list[tuple[Sequence, int]]:
        """The sequences of the next step, each with its number of rows."""
        running = self._batch.running
        suspects = [s for s in running.values() if s.is_suspect]
        if suspects:
            return self._choose_alone(suspects[0])
        decoding = [s for s in running.values() if s.is_decoding and not s.is_exhausted]
        prefilling = [s for s in running.values() if not s.is_decoding and s.num_remaining > 0]
        prefilling = self._batch.order.sorted(prefilling, self._budget.seconds_per_row)
        now_seconds = self._clock()
        waits = self._wave.waits(decoding, prefilling, now_seconds)
        if waits.decoding:
            decoding = []
        if self._speculation.reads_first(decoding):
            return []
        # Making room for one may preempt another, before or after its turn.
        decoding = [s for s in decoding if s.sequence_id in running and self._batch.make_room(s)]
        decoding = [s for s in decoding if s.sequence_id in running]
        prefilling = [s for s in prefilling if s.sequence_id in running]
        self._speculation.propose(decoding)
        chosen = [(s, 1 + len(s.proposals)) for s in decoding]
        num_rows, stop = sum(num_rows for _, num_rows in chosen), self._memory.tokens_to_stop
        return chosen + choose_chunks(
            prefilling, num_rows, self._budget, stop, now_seconds, waits.last_token_ids
        )

    def _choose_alone(self, suspect: Sequence) -> list[tuple[Sequence, int]]:
        """Only this one, and nothing before its last step is read."""
        if self._dispatched:
            return []
        num_rows = min(suspect.num_remaining, self._budget.max_step_tokens)
        return [(suspect, suspect.rows_within(num_rows, self._budget.max_scored_rows))]

    def _count_dispatched(self, chosen: list[tuple[Sequence, int]], plan: StepPlan) -> None:
        self._dispatched.add(chosen, self._clock(), plan.drafts)
        for sequence, num_rows in chosen:
            num_prompt_rows = 0 if sequence.is_decoding else sequence.num_new_rows(num_rows)
            self._batch.order.charge(sequence, num_prompt_rows, int(sequence.is_decoding))
            sequence.dispatch(num_rows)

    # --- what came back --------------------------------------------------------------------------

    def _take(self, news: StepNews) -> StepOutput | None:
        """None for what comes too late: its sequence has ended or started again."""
        sequence = self._batch.running.get(news.sequence_id)
        if sequence is None:
            return None
        if isinstance(news, DraftedTokens):
            sequence.name_drafts(news.token_ids)
            return None
        if isinstance(news, ScoredTokens):
            return prompt_output(sequence, news)
        return self._append(sequence, news) if sequence.num_in_flight else None

    def _append(self, sequence: Sequence, token: SampledToken) -> StepOutput:
        if token.error is not None:
            self._batch.drop(sequence)
            return last_output(sequence, error=token.error)
        if sequence.receive(token.token_id):
            self._speculation.accept(sequence.sequence_id)
            self._batch.order.charge(sequence, 0, 1)
        sequence.absolve()  # it got through what raised; a chunk of its prompt alone proves nothing
        output = token_output(sequence, token)
        if output.is_last:
            self._batch.drop(sequence)
        return output

    # --- what failed -----------------------------------------------------------------------------

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
        for sequence in list(self._batch.running.values()):
            if involved == {sequence.sequence_id}:
                self._batch.drop(sequence)
                outputs.append(last_output(sequence, error=as_api_error(error)))
                continue
            if sequence.sequence_id in involved:
                sequence.suspect()
            self._batch.preempt(sequence)
        return outputs

    def restart(self) -> None:
        """The device's memory is lost: all sequences start again, none of them to blame."""
        self._dispatched.clear()
        self._memory.clear()
        for sequence in list(self._batch.running.values()):
            self._batch.preempt(sequence)

    def _recover_blameless(self, error: Exception) -> list[StepOutput]:
        if self._has_failed_blameless:
            raise error
        self._has_failed_blameless = True
        self.restart()
        return []
