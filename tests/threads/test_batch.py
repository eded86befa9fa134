from __future__ import annotations

import sys
import time
from concurrent.futures import Future
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.engine.cpu.denormals import flushed_denormals
from api.engine.sequences.sequence import Sequence
from api.errors import OutOfMemoryError
from api.observability.metrics import Metrics
from api.stats import StepTimes
from api.step_plan import SampledToken, Slot, Span, StepOutput, StepPlan
from api.threads.batch import BatchThread
from api.types import Cancel, FinishReason
from tests.threads.fakes import GREEDY, FakeScheduler, create_engine, create_request


class Stage:
    """The thread's body in the test's own thread; it ends where the inbox's messages end."""

    def __init__(self) -> None:
        self.engine = create_engine()
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.results: SimpleQueue[Any] = SimpleQueue()
        self.metrics = Metrics()
        loaded: Future[Any] = Future()
        self.thread = BatchThread(lambda: self.engine, loaded, self.inbox, self.results, self.metrics)

    def read(self, request_id: str, text: str) -> Sequence:
        return self.engine.prompt_reader.read(create_request(request_id, text))[0][0]

    def outputs(self) -> list[StepOutput]:
        messages = [self.results.get() for _ in range(self.results.qsize())]
        assert all(message.outputs for message in messages)  # no empty message wakes anybody
        return [output for message in messages for output in message.outputs]


class EndingScheduler(FakeScheduler):
    """Ends the thread when its last sequence leaves."""

    def __init__(self, inbox: SimpleQueue[Any]) -> None:
        super().__init__()
        self._inbox = inbox

    def _drop(self, sequence_id: int) -> None:
        super()._drop(sequence_id)
        if not self.running:
            self._inbox.put(None)


def create_ending_stage() -> Stage:
    stage = Stage()
    stage.engine.scheduler = EndingScheduler(stage.inbox)
    return stage


def test_steps_until_the_work_is_done() -> None:
    stage = create_ending_stage()
    stage.inbox.put(stage.read("a", "ab!"))
    stage.thread.run()
    assert [output.token_id for output in stage.outputs()] == [ord(c) for c in "ab!"]
    assert stage.thread.stats.num_running == 0
    tokens = stage.metrics.snapshot()["tokens"]
    assert (tokens["prompt_total"], tokens["output_total"]) == (3, 3)


def test_proposals_are_no_prompt_tokens() -> None:
    stage = Stage()
    rows = [((), 1, 7), ((1, 2, 3, 4, 5), 5, 4), ((1, 2, 3), 1, 0)]  # tokens, samples, place in the answer
    spans = [Span(i, Slot(64, i), 0, ids, n, index) for i, (ids, n, index) in enumerate(rows)]
    stage.thread._measure(StepPlan(spans=tuple(spans)), [], StepTimes(plan_seconds=0.1))
    assert stage.metrics.snapshot()["tokens"]["prompt_total"] == 3


def test_a_token_for_a_sequence_that_has_ended_is_not_counted() -> None:
    stage = create_ending_stage()
    scheduler, step = stage.engine.scheduler, stage.engine.generator.step
    update = scheduler.update
    late = SampledToken(99, ord("z"))
    stage.engine.generator.step = lambda plan: [*step(plan), late]  # type: ignore[method-assign]
    scheduler.update = lambda sampled, read_seconds: update(sampled[:-1])  # type: ignore[method-assign]
    stage.inbox.put(stage.read("a", "ab!"))
    stage.thread.run()
    assert stage.metrics.snapshot()["tokens"]["output_total"] == 3


def test_takes_all_messages_before_a_step() -> None:
    stage = create_ending_stage()
    for request_id in "abc":
        stage.inbox.put(stage.read(request_id, "x!"))
    stage.inbox.put(Cancel("b"))
    stage.thread.run()
    assert stage.engine.generator.batch_sizes == [2, 2]
    assert StepOutput("b", finish_reason=FinishReason.CANCELLED) in stage.outputs()


class Arriving(SimpleQueue[Any]):
    """Somebody who waits for more finds it; who only looks does not see it before."""

    def __init__(self, later: list[Any]) -> None:
        super().__init__()
        self.later = later

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if timeout is not None and self.later:
            self.put(self.later.pop(0))
        return super().get(block, timeout)


def create_arriving_stage(pause_seconds: float) -> Stage:
    stage = Stage()
    inbox = Arriving([stage.read(request_id, "x!") for request_id in "bc"])
    inbox.put(stage.read("a", "x!"))
    stage.engine.scheduler = EndingScheduler(inbox)
    stage.engine.scheduler.pause_seconds = pause_seconds
    stage.thread = BatchThread(lambda: stage.engine, Future(), inbox, stage.results, stage.metrics)
    return stage


def test_those_that_come_together_are_waited_for_before_the_first_step() -> None:
    stage = create_arriving_stage(pause_seconds=0.001)
    stage.thread.run()
    assert stage.engine.generator.batch_sizes == [3, 3]


def test_nobody_is_waited_for_without_a_pause() -> None:
    stage = create_arriving_stage(pause_seconds=0.0)
    stage.thread.run()
    assert stage.engine.generator.batch_sizes == [1, 1]


def test_the_end_is_heard_in_a_pause() -> None:
    stage = create_arriving_stage(pause_seconds=0.001)
    stage.thread._inbox.later.insert(0, None)  # type: ignore[attr-defined]
    stage.thread.run()
    assert stage.engine.generator.batch_sizes == []


def test_a_sequence_that_can_never_run_fails_alone() -> None:
    stage = Stage()
    error = OutOfMemoryError("too large")

    def add(sequence: Sequence) -> None:
        raise error

    stage.engine.scheduler.add = add  # type: ignore[method-assign]
    stage.inbox.put(Sequence(0, "a", [1], 1, 1, GREEDY))
    stage.inbox.put(None)
    stage.thread.run()
    assert stage.outputs() == [StepOutput("a", error=error)]
    assert stage.engine.generator.samplings == {}


def test_a_step_that_raises_is_recovered() -> None:
    stage = create_ending_stage()
    stage.inbox.put(stage.read("bad", "#"))
    stage.inbox.put(stage.read("good", "x!"))
    stage.thread.run()
    last = {output.request_id: output for output in stage.outputs()}
    assert last["bad"].error is not None
    assert last["good"].finish_reason is FinishReason.STOP
    assert stage.engine.generator.num_resets == 2


def test_a_dispatch_that_fails_is_recovered_from_like_a_step() -> None:
    stage = create_ending_stage()
    stage.engine.generator.fails_dispatch = True
    stage.inbox.put(stage.read("a", "xy!"))
    stage.inbox.put(stage.read("b", "z!"))
    stage.thread.run()
    last = {output.request_id: output for output in stage.outputs()}
    assert last["a"].finish_reason is FinishReason.STOP
    assert last["b"].finish_reason is FinishReason.STOP
    assert stage.engine.generator.num_resets == 1


def test_what_was_read_is_told_before_the_next_step_is_dispatched() -> None:
    stage = create_ending_stage()
    told: list[int] = []
    stage.engine.generator.dispatch = lambda: told.append(len(stage.outputs()))  # type: ignore[method-assign]
    stage.inbox.put(stage.read("a", "xy!"))
    stage.thread.run()
    assert told[:2] == [1, 1]


def test_a_broken_scheduler_ends_the_thread() -> None:
    stage = Stage()
    stage.engine.scheduler.schedule_error = RuntimeError("broken")
    stage.inbox.put(stage.read("a", "x!"))
    with pytest.raises(RuntimeError, match="broken"):
        stage.thread.run()


def test_the_end_comes_even_with_work_left() -> None:
    stage = Stage()
    stage.inbox.put(stage.read("a", "x" * 50))
    stage.inbox.put(None)
    stage.thread.run()
    assert stage.outputs() == []


def test_it_loads_and_steps_without_denormal_numbers() -> None:
    """What it starts meanwhile, MLX's threads, keep it so; the thread that waits for it does not."""
    stage = create_ending_stage()
    seen: list[float] = []
    smallest_normal = sys.float_info.min
    engine, loaded = stage.engine, Future[Any]()

    def load() -> Any:
        with flushed_denormals() as works:
            seen.append(0.0 if works else smallest_normal / 2)
        seen.append(smallest_normal / 2)
        return engine

    stage.thread = BatchThread(load, loaded, stage.inbox, stage.results, stage.metrics)
    stage.inbox.put(None)
    stage.thread.run()
    assert seen[0] == seen[1]
    assert smallest_normal / 2 > 0


def test_a_step_that_raises_is_logged_with_the_names_of_its_requests() -> None:
    stage = create_ending_stage()
    for request_id in ("bad", "good"):
        request = replace(
            create_request(request_id, "#" if request_id == "bad" else "x!"), x_request_id=request_id
        )
        stage.inbox.put(stage.engine.prompt_reader.read(request)[0][0])
    with capture_logs() as lines:
        stage.thread.run()
    assert [(line["event"], line["x_request_ids"], line["num_spans"]) for line in lines] == [
        ("step failed", ["bad", "good"], 2),
        ("step failed", ["bad"], 1),
    ]


def test_names_are_forgotten_with_the_sequences_that_a_plan_says_have_ended() -> None:
    stage = create_ending_stage()
    scheduler, schedule = stage.engine.scheduler, stage.engine.scheduler.schedule
    scheduler.schedule = lambda: replace(schedule(), ended=(0,))  # type: ignore[method-assign]
    stage.inbox.put(stage.read("a", "ab!"))
    stage.thread.run()
    assert stage.thread._x_request_ids == {}


def test_the_parts_of_a_step_are_all_of_it() -> None:
    stage = create_ending_stage()
    step = stage.engine.generator.step

    def slow_step(plan: StepPlan) -> list[SampledToken]:
        time.sleep(0.02)
        stage.engine.generator.read_seconds = time.monotonic()
        time.sleep(0.01)
        return step(plan)

    stage.engine.generator.step = slow_step  # type: ignore[method-assign]
    stage.inbox.put(stage.read("a", "ab!"))
    stage.thread.run()
    snapshot = stage.metrics.snapshot()
    parts, steps = snapshot["step_parts_seconds"], snapshot["step_seconds"]
    assert parts["read"] >= 3 * 0.02
    assert parts["dispatch"] >= 3 * 0.01
    assert sum(parts.values()) == pytest.approx(steps["mean"] * steps["count"], abs=1e-4)
    assert (snapshot["step_rows"]["count"], snapshot["step_rows"]["max"]) == (3, 3)
