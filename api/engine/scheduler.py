"""Decides what each step computes. Pure Python: it knows sequences, slots and time, but no tensors.

``plan = scheduler.schedule(); sampled = generator.step(plan); outputs = scheduler.update(sampled)``

The generator returns the tokens of the step *before* the one it dispatches, so a sequence can have a
token in flight; its next row then refers to that token instead of naming it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from api.engine.kv_slots import SlotPool
from api.engine.sequence import Sequence
from api.engine.step_budget import StepBudget
from api.errors import ApiError, OutOfMemoryError, ServerSideError
from api.types import FinishReason, SampledToken, SchedulerStats, SlotMove, Span, StepOutput, StepPlan

# A slot is first taken for the prompt and this much of the answer; longer answers move up a class.
_FIRST_ANSWER_TOKENS = 128
# A prompt's wait counts this much against the time that reading it would take.
_AGEING = 0.5


@dataclass(frozen=True, slots=True)
class _Dispatched:
    """What is remembered of a step until its tokens are read."""

    sequence_ids: frozenset[int]
    num_rows: int
    num_prompt_rows: int
    started_seconds: float


class Scheduler:
    """Owned by the batch thread. Every sequence added leaves by exactly one last ``StepOutput``."""

    def __init__(
        self,
        slots: SlotPool,
        budget: StepBudget,
        max_batch_size: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._budget = budget
        self._max_batch_size = max_batch_size
        self._clock = clock
        self._waiting: list[Sequence] = []
        self._running: dict[int, Sequence] = {}
        self._dispatched: deque[_Dispatched] = deque()
        self._released: list[int] = []
        self._moves: list[SlotMove] = []
        self._has_newest_in_flight = False  # whether the last plan had rows, which are not read yet
        self._updated_seconds = 0.0
        self._num_preemptions = 0

    # --- requests come and go --------------------------------------------------------------------

    def add(self, sequence: Sequence) -> None:
        """Puts a sequence in line. Its prompt and answer must fit ``max_sequence_tokens``."""
        self._waiting.append(sequence)

    def cancel(self, request_id: str) -> list[StepOutput]:
        """Drops a request's sequences at once; [] when it has none."""
        found = [s for s in (*self._waiting, *self._running.values()) if s.request_id == request_id]
        for sequence in found:
            self._drop(sequence)
        return [StepOutput(request_id, finish_reason=FinishReason.CANCELLED) for _ in found]

    @property
    def has_work(self) -> bool:
        """Whether ``schedule`` has anything to say: rows, a step to read back, or memory to give up."""
        return bool(self._waiting or self._running or self._dispatched or self._released)

    def stats(self) -> SchedulerStats:
        return SchedulerStats(
            num_running=len(self._running),
            num_waiting=len(self._waiting),
            kv_used_bytes=self._slots.used_bytes,
            kv_reserved_bytes=self._slots.reserved_bytes,
            kv_budget_bytes=self._slots.budget_bytes,
            num_preemptions=self._num_preemptions,
        )

    # --- one step --------------------------------------------------------------------------------

    def schedule(self) -> StepPlan:
        """Plans the next step and counts its tokens as computed. May be empty: then it only reads back."""
        self._admit()
        chosen = self._choose()
        singles = [(s, n) for s, n in chosen if n == 1]
        singles.sort(key=lambda pair: _slot_order(pair[0]))
        spans = [_span(s, n) for s, n in singles + [(s, n) for s, n in chosen if n > 1]]
        if not self._running and not self._waiting:
            self._slots.shrink()
        plan = StepPlan(tuple(spans), tuple(self._released), self._slots.num_slots, tuple(self._moves))
        self._released.clear()
        self._moves.clear()
        self._has_newest_in_flight = bool(spans)
        if spans:
            self._remember(chosen)
        return plan

    def update(self, sampled: Iterable[SampledToken], read_seconds: float | None = None) -> list[StepOutput]:
        """Takes the tokens of the oldest step that is not read yet; ends the sequences that are done.

        ``read_seconds``: the clock's time when that step had ended; None: now.
        """
        self._observe(self._clock() if read_seconds is None else read_seconds)
        outputs = []
        for token in sampled:
            sequence = self._running.get(token.sequence_id)
            if sequence is not None and sequence.num_in_flight:
                outputs.append(self._append(sequence, token.token_id))
        return outputs

    def recover(self, error: Exception) -> list[StepOutput]:
        """After a step raised: finds the culprit without losing the others.

        The sequences of the steps under way start again and run alone, one by one, until each has
        survived a step. One that raises alone fails with ServerSideError. Raises ``error`` when no
        sequence was under way, so nobody can be blamed.
        """
        involved = frozenset().union(*(step.sequence_ids for step in self._dispatched))
        if not involved:
            raise error
        self._dispatched.clear()
        self._moves.clear()
        outputs = []
        for sequence in list(self._running.values()):
            if involved == {sequence.sequence_id}:
                self._drop(sequence)
                outputs.append(StepOutput(sequence.request_id, error=_as_api_error(error)))
            else:
                sequence.is_suspect = sequence.is_suspect or sequence.sequence_id in involved
                self._preempt(sequence)
        return outputs

    # --- admission and memory --------------------------------------------------------------------

    def _admit(self) -> None:
        """Gives slots to waiting sequences, the most urgent first, until rows or bytes run out."""
        if not self._waiting:
            return
        self._waiting.sort(key=self._urgency())
        while self._waiting and len(self._running) < self._max_batch_size:
            sequence = self._waiting[0]
            sequence.slot = self._slots.allocate(self._first_tokens(sequence))
            if sequence.slot is None:
                return
            self._running[sequence.sequence_id] = self._waiting.pop(0)

    def _first_tokens(self, sequence: Sequence) -> int:
        answer = min(sequence.max_tokens - sequence.num_sampled, _FIRST_ANSWER_TOKENS)
        return min(sequence.num_known + answer, self._slots.max_sequence_tokens)

    def _make_room(self, sequence: Sequence) -> bool:
        """Moves a sequence up where its slot is full; preempts the youngest while bytes are short."""
        assert sequence.slot is not None
        if sequence.num_known <= sequence.slot.capacity:
            return True
        while (target := self._slots.allocate(sequence.num_known)) is None:
            youngest = max(self._running.values(), key=lambda s: (s.arrival_seconds, s.sequence_id))
            self._num_preemptions += 1
            self._preempt(youngest)
            if youngest is sequence:
                return False
        self._moves.append(SlotMove(sequence.slot, target, sequence.num_computed))
        self._slots.release(sequence.slot)
        sequence.slot = target
        return True

    def _preempt(self, sequence: Sequence) -> None:
        """Back to the line; what it knows is computed again later."""
        self._forget(sequence)
        sequence.restart()
        self._waiting.append(sequence)

    def _drop(self, sequence: Sequence) -> None:
        if sequence.sequence_id in self._running:
            self._forget(sequence)
        else:
            self._waiting.remove(sequence)

    def _forget(self, sequence: Sequence) -> None:
        del self._running[sequence.sequence_id]
        if sequence.slot is not None:
            self._moves = [move for move in self._moves if move.target != sequence.slot]
            self._slots.release(sequence.slot)
        self._released.append(sequence.sequence_id)

    # --- which rows ------------------------------------------------------------------------------

    def _choose(self) -> list[tuple[Sequence, int]]:
        """The sequences of the next step, each with its number of rows."""
        suspects = [s for s in self._running.values() if s.is_suspect]
        if suspects:
            return self._choose_alone(suspects[0])
        decoding = [s for s in list(self._running.values()) if s.is_decoding and not s.is_exhausted]
        # Making room for one may preempt another, before or after its turn.
        chosen = [(s, 1) for s in decoding if s.sequence_id in self._running and self._make_room(s)]
        chosen = [(s, n) for s, n in chosen if s.sequence_id in self._running]
        return chosen + self._choose_chunks(len(chosen))

    def _choose_alone(self, suspect: Sequence) -> list[tuple[Sequence, int]]:
        """Only this one, and nothing before its last step is read."""
        if self._dispatched:
            return []
        return [(suspect, min(suspect.num_remaining, self._budget.max_step_tokens))]

    def _choose_chunks(self, num_decode_rows: int) -> list[tuple[Sequence, int]]:
        """Prompt chunks, shortest remaining first with ageing, within the step's budget."""
        reading = [s for s in self._running.values() if not s.is_decoding and s.num_remaining > 0]
        reading.sort(key=self._urgency())
        room = self._budget.num_prompt_rows(num_decode_rows)
        chosen = []
        for sequence in reading:
            if room <= 0:
                break
            num_rows = min(sequence.num_remaining, room)
            chosen.append((sequence, num_rows))
            room -= num_rows
        return chosen

    def _urgency(self) -> Callable[[Sequence], float]:
        """Lower goes first: the seconds that reading takes, less what the wait so far is worth."""
        now, seconds_per_row = self._clock(), self._budget.seconds_per_row

        def urgency(sequence: Sequence) -> float:
            return sequence.num_remaining * seconds_per_row - _AGEING * (now - sequence.arrival_seconds)

        return urgency

    def _remember(self, chosen: list[tuple[Sequence, int]]) -> None:
        num_prompt_rows = 0
        for sequence, num_rows in chosen:
            num_prompt_rows += 0 if sequence.is_decoding else num_rows
            sequence.num_computed += num_rows
            if sequence.num_remaining == 0:
                sequence.num_in_flight += 1
        ids = frozenset(s.sequence_id for s, _ in chosen)
        num_rows = sum(n for _, n in chosen)
        self._dispatched.append(_Dispatched(ids, num_rows, num_prompt_rows, self._clock()))

    # --- what came back --------------------------------------------------------------------------

    def _observe(self, now: float) -> None:
        """Forgets the steps that are read by now (all but the newest) and learns from their times."""
        while len(self._dispatched) > int(self._has_newest_in_flight):
            step = self._dispatched.popleft()
            seconds = now - max(step.started_seconds, self._updated_seconds)
            self._budget.observe(step.num_rows, step.num_prompt_rows, seconds)
        self._updated_seconds = now

    def _append(self, sequence: Sequence, token_id: int) -> StepOutput:
        sequence.num_in_flight -= 1
        sequence.is_suspect = False  # it got through what raised; a chunk of its prompt alone proves nothing
        sequence.token_ids.append(token_id)
        is_eos = token_id in sequence.eos_token_ids
        reason = None
        if is_eos:
            reason = FinishReason.STOP
        elif len(sequence.token_ids) - sequence.num_prompt_tokens >= sequence.max_tokens:
            reason = FinishReason.LENGTH
        if reason is not None:
            self._drop(sequence)
        return StepOutput(sequence.request_id, token_id, not is_eos, reason)


def _span(sequence: Sequence, num_rows: int) -> Span:
    """The span for the next ``num_rows`` tokens; called before they count as computed."""
    assert sequence.slot is not None
    start = sequence.num_computed
    return Span(
        sequence_id=sequence.sequence_id,
        slot=sequence.slot,
        start=start,
        token_ids=tuple(sequence.token_ids[start : start + num_rows]),
        samples=start + num_rows == sequence.num_known,
        sample_index=sequence.num_sampled,
        sampling=sequence.sampling,
    )


def _slot_order(sequence: Sequence) -> tuple[int, int]:
    assert sequence.slot is not None
    return sequence.slot.capacity, sequence.slot.index


def _as_api_error(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemoryError("The device ran out of memory on this request.")
    return ServerSideError("The model failed on this request.")
