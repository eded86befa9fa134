"""The batch thread: the only one that touches the device, from the model's load to the last step."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty

import structlog

from api.engine.cpu.denormals import flushed_denormals
from api.engine.disk.reader import BlocksRead
from api.engine.sequences.sequence import Sequence
from api.errors import ApiError, StartupError
from api.events import StepOutputs
from api.observability.metrics import Metrics
from api.stats import DeviceBytes, SchedulerStats, StepTimes
from api.step_plan import StepOutput, StepPlan
from api.threads.contracts import Inbox, ResultQueue, ServedEngine
from api.threads.worker import Heartbeat
from api.types import Cancel

log = structlog.get_logger(__name__)

_MOST_PAUSES = 64  # before a first step, each for one more request
_PUBLISH_SECONDS = 0.1  # between snapshots while nothing ends


class BatchThread:
    """Loads the engine, then steps for as long as there is work."""

    def __init__(
        self,
        load: Callable[[], ServedEngine],
        loaded: Future[ServedEngine],
        inbox: Inbox,
        results: ResultQueue,
        metrics: Metrics,
    ) -> None:
        self._load = load
        self._loaded = loaded
        self._inbox = inbox
        self._results = results
        self._metrics = metrics
        self.heartbeat = Heartbeat("batch")
        # Snapshots for /stats, not of each step; replaced whole.
        self.stats = SchedulerStats()
        self.device = DeviceBytes()
        self._publish_due_seconds = 0.0
        self._dispatch_seconds = 0.0  # what the last dispatch took
        # For log lines, by sequence, until a plan says that it has ended.
        self._x_request_ids: dict[int, str] = {}
        self._plan = StepPlan()  # the last one

    def run(self) -> None:
        with flushed_denormals():  # MLX's own threads are started from this one
            self._run()

    def _run(self) -> None:
        try:
            engine = self._load()
        except BaseException as error:  # also a library that calls sys.exit: the waiters must hear of it
            self._loaded.set_exception(_as_startup_error(error))
            return
        gc.freeze()  # the engine stays: a collection need not look at it again
        self._publish(engine)
        self._loaded.set_result(engine)
        self._serve(engine)

    def _serve(self, engine: ServedEngine) -> None:
        while self._take_messages(engine):
            outputs = self._step(engine) if engine.scheduler.has_work else []
            # Before a client can know that its answer ended.
            if any(output.is_last for output in outputs) or time.monotonic() >= self._publish_due_seconds:
                self._publish(engine)
            self._send(outputs)
            self._dispatch(engine)

    def _publish(self, engine: ServedEngine) -> None:
        self.stats, self.device = engine.scheduler.stats(), engine.read_device()
        self._publish_due_seconds = time.monotonic() + _PUBLISH_SECONDS

    def _take_messages(self, engine: ServedEngine) -> bool:
        """Empties the inbox, waiting only when there is nothing to compute. False at the end."""
        if not engine.scheduler.has_work:
            self._tidy(engine)
            if not self._handle(self._wait(), engine) or not self._gather(engine):
                return False
        while not self._inbox.empty():  # no other thread takes from it: what is seen is there
            if not self._handle(self._inbox.get(), engine):
                return False
        return True

    def _gather(self, engine: ServedEngine) -> bool:
        """Waits a little for those that come together with the first one. False at the end."""
        for _ in range(_MOST_PAUSES):
            seconds = engine.scheduler.pause_seconds
            if not seconds:
                return True
            try:
                message = self._inbox.get(timeout=seconds)
            except Empty:
                return True
            if not self._handle(message, engine):
                return False
        return True

    def _tidy(self, engine: ServedEngine) -> None:
        """Frees what the last steps left in cycles, arrays among it, when nobody waits for it."""
        if self._inbox.empty():
            gc.collect()
            self._publish(engine)

    def _wait(self) -> Sequence | BlocksRead | Cancel | None:
        self.heartbeat.rest()
        message = self._inbox.get()
        self.heartbeat.beat()
        return message

    def _handle(self, message: Sequence | BlocksRead | Cancel | None, engine: ServedEngine) -> bool:
        match message:
            case None:
                return False
            case Cancel(request_id, choice_index):
                self._send(engine.scheduler.cancel(request_id, choice_index))
            case BlocksRead():
                self._adopt(message, engine)
            case _:
                self._add(message, engine)
        return True

    def _adopt(self, read: BlocksRead, engine: ServedEngine) -> None:
        try:
            engine.prefix_disk.adopt(read)
        except Exception as error:  # the device's memory: nothing in it can be relied on
            log.error("taking blocks from disk failed", exc_info=error)
            engine.generator.reset()
            engine.scheduler.restart()

    def _add(self, sequence: Sequence, engine: ServedEngine) -> None:
        try:
            engine.scheduler.add(sequence)
        except ApiError as error:
            self._send([StepOutput(sequence.request_id, error=error, choice_index=sequence.choice_index)])
            return
        engine.generator.add(sequence.sequence_id, sequence.sampling)
        self._x_request_ids[sequence.sequence_id] = sequence.x_request_id

    def _step(self, engine: ServedEngine) -> list[StepOutput]:
        self.heartbeat.beat()
        started_seconds = time.monotonic()
        plan = self._plan = engine.scheduler.schedule()
        for sequence_id in plan.ended:
            self._x_request_ids.pop(sequence_id, None)
        planned_seconds = time.monotonic()
        try:
            sampled = engine.generator.step(plan)
        except Exception as error:
            return self._recover("step failed", engine, error)
        stepped_seconds = time.monotonic()
        read_seconds = min(max(engine.generator.read_seconds, planned_seconds), stepped_seconds)
        outputs = engine.scheduler.update(sampled, engine.generator.read_seconds)
        times = StepTimes(
            plan_seconds=planned_seconds - started_seconds,
            read_seconds=read_seconds - planned_seconds,
            dispatch_seconds=stepped_seconds - read_seconds + self._dispatch_seconds,
            update_seconds=time.monotonic() - stepped_seconds,
        )
        self._measure(plan, outputs, times)
        return outputs

    def _dispatch(self, engine: ServedEngine) -> None:
        """After what was read is on its way: on a CPU the dispatch takes as long as the step."""
        started_seconds = time.monotonic()
        try:
            engine.generator.dispatch()
        except Exception as error:
            self._send(self._recover("dispatching a step failed", engine, error))
        self._dispatch_seconds = time.monotonic() - started_seconds

    def _recover(self, event: str, engine: ServedEngine, error: Exception) -> list[StepOutput]:
        spans = self._plan.spans
        names = {self._x_request_ids.get(span.sequence_id, "") for span in spans} - {""}
        sizes = {"num_spans": len(spans), "num_rows": self._plan.num_rows}
        log.error(event, x_request_ids=sorted(names), exc_info=error, **sizes)
        engine.generator.reset()
        return engine.scheduler.recover(error)

    def _send(self, outputs: list[StepOutput]) -> None:
        if outputs:
            self._results.put(StepOutputs(outputs))

    def _measure(self, plan: StepPlan, outputs: list[StepOutput], times: StepTimes) -> None:
        """Counts what reaches a request: a step also samples for sequences that ended meanwhile."""
        decoding = (s for s in plan.spans if s.sample_index > 0 and s.num_tokens == max(1, s.num_samples))
        num_rows = plan.num_rows
        num_decode_rows = sum(span.num_tokens for span in decoding)  # proposals included
        self._metrics.step_done(
            times.total_seconds,
            num_prompt_tokens=num_rows - num_decode_rows,
            num_output_tokens=sum(1 for output in outputs if output.token_id is not None),
            num_running=len(plan.spans),
            num_rows=num_rows,
            times=times,
        )


def _as_startup_error(error: BaseException) -> StartupError:
    if isinstance(error, StartupError):
        return error
    if isinstance(error, MemoryError):
        return StartupError("Too little memory to load the model; try a smaller or a quantised one.")
    log.error("loading the model failed", exc_info=error)
    text = " ".join(str(error).split())
    return StartupError(f"Loading the model failed: {type(error).__name__}: {text}")
