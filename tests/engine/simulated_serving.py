"""Runs the real scheduler, memory and budget on a simulated device, as the batch thread does on any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from api.engine.budget.step_budget import StepBudget
from api.engine.device.row_sizes import padded_rows
from api.engine.scheduling.scheduler import Scheduler
from api.step_plan import SampledToken, StepPlan
from tests.engine.factories import create_memory, create_sequence
from tests.engine.fake_generator import FakeClock
from tests.engine.simulated_devices import Device, StepRows
from tests.engine.simulated_loads import Load, Result, summarise

STALL_SECONDS = 0.130
MAX_STEP_TOKENS = 2048
_CONTEXT_LENGTH = 16384
_MAX_BATCH = 32
_TUNED_ROWS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024, 2048)


@dataclass(frozen=True, slots=True)
class _Step:
    plan: StepPlan
    end_seconds: float


class SimulatedServer:
    """A plan is made while the step before it runs; its own step begins when that one has ended."""

    def __init__(self, device: Device, load: Load, budget: StepBudget, row_multiple: int = 1) -> None:
        """``row_multiple``: the forward fills its rows up to a multiple of this."""
        self._clock = FakeClock()
        self._clock.now = 0.0
        self.scheduler = Scheduler(
            create_memory(64 * _CONTEXT_LENGTH, _CONTEXT_LENGTH), budget, _MAX_BATCH, self._clock
        )
        self._device = device
        self._row_multiple = row_multiple
        self._clients = load.clients()
        self._requests = {f"r{request.number + 1}": request for request in self._clients.requests}
        self._in_flight: _Step | None = None
        self._noise = device.noises()
        self._longest_stall = 0.0
        self.rows: list[StepRows] = []  # of each step

    def run(self) -> Result:
        while self._take_requests():
            self._step()
        return summarise(self._clients.requests, self._longest_stall, len(self.rows))

    def _take_requests(self) -> bool:
        if not self.scheduler.has_work:
            if self._clients.next_seconds is None:
                return False
            self._clock.now = max(self._clock.now, self._clients.next_seconds)
            self._add_requests()
            self._gather()
        self._add_requests()
        return True

    def _gather(self) -> None:
        """As the batch thread does before a first step."""
        while (seconds := self.scheduler.pause_seconds) and self._clients.next_seconds is not None:
            if self._clients.next_seconds > self._clock.now + seconds:
                break
            self._clock.now = self._clients.next_seconds
            self._add_requests()
        self._clock.now += seconds

    def _add_requests(self) -> None:
        for request in self._clients.take(self._clock.now):
            number, prompt = request.number + 1, [1] * request.num_prompt_tokens
            self.scheduler.add(
                create_sequence(
                    number,
                    prompt=prompt,
                    max_tokens=request.num_answer_tokens,
                    arrival_seconds=request.arrival_seconds,
                )
            )

    def _step(self) -> None:
        plan = self.scheduler.schedule()
        read = self._read()
        self._in_flight = self._dispatch(plan) if plan.spans else None
        for output in self.scheduler.update(read, self._clock.now):
            self._clients.receive(self._requests[output.request_id], self._clock.now)

    def _read(self) -> list[SampledToken]:
        if self._in_flight is None:
            return []
        self._clock.now = max(self._clock.now, self._in_flight.end_seconds)
        return [SampledToken(span.sequence_id, 1) for span in self._in_flight.plan.spans if span.samples]

    def _dispatch(self, plan: StepPlan) -> _Step:
        rows, now = step_rows(plan, self._row_multiple), self._clock.now
        self.rows.append(rows)
        self._longest_stall = max(self._longest_stall, self._stall_seconds(rows, now))
        return _Step(plan, now + self._device.seconds(rows, now) * self._noise())

    def _stall_seconds(self, rows: StepRows, now: float) -> float:
        if not rows.num_decode_rows:
            return 0.0
        plain = StepRows(padded_rows(rows.num_decode_rows, self._row_multiple), 0, rows.decode_context)
        return self._device.seconds(rows, now) - self._device.seconds(plain, now)


def step_rows(plan: StepPlan, row_multiple: int) -> StepRows:
    """A prompt's rows have no token of the answer before them; those of the padding count to them."""
    decoding = [span for span in plan.spans if span.sample_index > 0]
    chunks = [span for span in plan.spans if span.sample_index == 0]
    num_padding = padded_rows(plan.num_rows, row_multiple) - plan.num_rows
    return StepRows(
        len(decoding),
        sum(span.num_tokens for span in chunks) + num_padding,
        sum(span.start for span in decoding),
        sum(span.num_tokens * (span.start + span.num_tokens // 2) for span in chunks),
    )


def create_budget(row_multiple: int = 1, step_seconds: Mapping[int, float] | None = None) -> StepBudget:
    return StepBudget(
        stall_seconds=STALL_SECONDS,
        max_step_tokens=MAX_STEP_TOKENS,
        first_chunk_tokens=16,
        row_multiple=row_multiple,
        step_seconds=step_seconds,
    )


def adaptive(device: Device, load: Load, row_multiple: int = 1, *, is_tuned: bool = False) -> Result:
    """What the scheduler makes of a load; ``is_tuned``: on a device that was measured at load."""
    noise = device.noises()
    sizes = {rows: device.seconds(StepRows(0, rows)) * noise() for rows in _TUNED_ROWS} if is_tuned else {}
    return SimulatedServer(device, load, create_budget(row_multiple, sizes), row_multiple).run()
