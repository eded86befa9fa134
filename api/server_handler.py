"""The server behind the HTTP side: threads, queues and lifecycle. No HTTP, no tensors.

::

    event loop --GenerationRequest | Cancel--> PROCESSING: chat template, tokenise, context check
        ^                                        |     `---Sequence | Cancel--> BATCH: load, then steps
        |                             Opened | Rejected | Cancel                  |       ^
        |                                        v                          StepOutputs   |
        `-----------list[TextEvent]----------- RESULTS: detokenise, stop strings <'       |
                                                 `------------Cancel (stop string)--------'

Every request ends with exactly one ``Finished`` or ``Failed``, whatever cancels, fails or dies: all
ends pass the event loop's table of channels, and the first one closes the channel.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from typing import Any

import structlog

from api.config import ServerConfig
from api.errors import ApiError, NotServingError, QueueFullError, ServerSideError
from api.events import TextEvent
from api.observability.metrics import Metrics
from api.observability.request_log import log_refused
from api.open_files import keeps_open_file_limit
from api.server_state import Health, ServedModel
from api.server_stats import ServerStats
from api.stats import PrefixDiskStats
from api.threads.asides import AsideTable
from api.threads.batch import BatchThread
from api.threads.channel import Channel, ChannelTable
from api.threads.contracts import (
    Arrivals,
    Inbox,
    LoadEngine,
    Question,
    RequestQueue,
    ResultQueue,
    ServedEngine,
)
from api.threads.disk import disk_stages
from api.threads.hands import hand_stages
from api.threads.processing import ProcessingThread
from api.threads.results import ResultsThread
from api.threads.watchdog import Watchdog
from api.threads.worker import Stage, Worker, cpu_seconds_by_thread
from api.types import GenerationRequest, Report

__all__ = ["Channel", "Health", "ServedModel", "ServerHandler"]

log = structlog.get_logger(__name__)

_ALIAS = "model"  # always a valid model name, so that examples work on any installation
_JOIN_SECONDS = 5.0
_DEAD_JOIN_SECONDS = 1.0


def _load_engine(config: ServerConfig, report: Report) -> ServedEngine:
    with keeps_open_file_limit():  # on the batch thread: whoever imports this module does not import mlx
        from api.assembly.engine import load_engine
    return load_engine(config, report)


class ServerHandler:
    """Owns the threads. Every method belongs to the event loop's thread."""

    def __init__(self, config: ServerConfig, load: LoadEngine = _load_engine) -> None:
        self._config = config
        self._created_seconds = int(time.time())
        self._progress = "waiting to load the model"
        self._is_draining = False
        self._death = ""  # why the engine is dead; empty while it lives
        self._died = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loaded: Future[ServedEngine] = Future()
        # Uncancellable: whoever awaits the load and leaves must not take it away from the others.
        self._loaded.set_running_or_notify_cancel()
        self._metrics = Metrics()
        self._channels = ChannelTable(self._metrics)
        self._asides = AsideTable(self._call_soon)
        self._build_threads(load)

    def _build_threads(self, load: LoadEngine) -> None:
        self._requests: RequestQueue = SimpleQueue()
        self._inbox: Inbox = SimpleQueue()
        self._result_queue: ResultQueue = SimpleQueue()
        arrivals: Arrivals = SimpleQueue()  # to the batch's inbox by way of the disk, where there is one
        has_disk = self._config.engine.prefix_cache_dir is not None
        long_work, hands = hand_stages()
        self._processing = ProcessingThread(
            self._requests, arrivals if has_disk else self._inbox, self._result_queue, self._loaded, long_work
        )
        load_model = partial(load, self._config, self._report)
        self._batch = BatchThread(load_model, self._loaded, self._inbox, self._result_queue, self._metrics)
        self._results = ResultsThread(self._result_queue, self._inbox, self._deliver, self._metrics)
        stages: list[tuple[Stage, Callable[[], None]]] = [
            (self._processing, partial(self._requests.put, None)),
            (self._batch, partial(self._inbox.put, None)),
            (self._results, partial(self._result_queue.put, None)),
        ]
        if has_disk:
            prefetch, writer = disk_stages(arrivals, self._inbox, self._loaded)
            stages = [stages[0], prefetch, stages[1], writer, stages[2]]
        stages += hands
        heartbeats = tuple(thread.heartbeat for thread, _ in stages)
        self._watchdog = Watchdog(heartbeats, self._config.stall_timeout_seconds, self._die)
        self._workers = [Worker(each.heartbeat.name, each.run, self._thread_died) for each, _ in stages]
        self._ends = [end for _, end in stages]

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the threads, once; the model loads on the batch thread. Needs the running event loop."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        for worker in self._workers:
            worker.start()

    async def wait_loaded(self) -> None:
        """Returns when requests are served. Raises StartupError where the model cannot be loaded."""
        await asyncio.wrap_future(self._loaded)

    async def wait_dead(self) -> None:
        """Returns when the engine can do nothing any more; a model that cannot be loaded is no such case."""
        await self._died.wait()

    async def drain(self, timeout_seconds: float) -> None:
        """Refuses new requests and waits for the live ones; fails those that take longer."""
        self._is_draining = True
        try:
            await asyncio.wait_for(self._channels.wait_empty(), timeout_seconds)
        except TimeoutError:
            log.warning("shutting down before all requests ended", num_requests=len(self._channels))
            self._abandon_all(NotServingError("The server is shutting down."))

    async def stop(self) -> None:
        """Fails what is still live and ends the threads, each after the one that feeds it."""
        self._is_draining = True
        self._abandon_all(NotServingError("The server is shutting down."))
        if self._loop is not None:
            await asyncio.to_thread(self._join)

    def _join(self) -> None:
        # A load cannot be interrupted; its daemon thread ends with the process, as a stuck one does.
        limit_seconds = _DEAD_JOIN_SECONDS if self._death else _JOIN_SECONDS
        end_seconds = time.monotonic() + limit_seconds * self._loaded.done()
        if (engine := self._engine()) is not None:
            engine.grammars.close()
        for end, worker in zip(self._ends, self._workers, strict=True):
            end()
            if not worker.join(max(0.0, end_seconds - time.monotonic())):
                log.debug("thread still busy at exit", thread=worker.name)

    # --- requests -------------------------------------------------------------------------------

    def submit(self, request: GenerationRequest) -> Channel:
        """Takes a request. Raises NotServingError or QueueFullError."""
        refusal = self._refusal(request.num_sequences)
        if refusal is not None:
            self.record_refusal(refusal, request.request_id)
            raise refusal
        if not request.arrival_seconds:
            request = replace(request, arrival_seconds=time.monotonic())
        channel = self._channels.open(request.request_id, request.num_sequences)
        self._requests.put(request)
        self._watchdog.arm()
        return channel

    def record_refusal(self, error: ApiError, request_id: str = "-") -> None:
        """Counts and logs a request that is turned away; HTTP reports those that it does not submit."""
        self._metrics.request_received()
        self._metrics.request_refused(error.code or error.type)
        log_refused(request_id, error)

    def cancel(self, request_id: str) -> None:
        """Frees whatever the request holds; ids that are unknown or ended are ignored."""
        if self._channels.cancel(request_id):
            self._processing.cancel(request_id)

    async def read_aside(self, question: Question) -> Any:
        """Asks the prompt reader. Raises what it raises, NotServingError or QueueFullError."""
        refusal = self._refusal(num_sequences=1)
        if refusal is not None:
            raise refusal
        self._watchdog.arm()
        try:
            return await self._asides.ask(question, self._requests.put)
        finally:
            self._disarm_if_idle()

    def _refusal(self, num_sequences: int) -> ApiError | None:
        health = self.health
        if health.status != "ok":
            return NotServingError(f"The server is not serving ({health.status}): {health.detail}")
        most = self._config.engine.max_batch_size + self._config.max_queue
        # One request with many choices is taken by an idle server, however many they are.
        num_taken = self._channels.num_sequences + len(self._asides)
        if num_taken and num_taken + num_sequences > most:
            return QueueFullError("The server has as many requests as it can queue; try again later.")
        return None

    # --- what the outside may know --------------------------------------------------------------

    @property
    def health(self) -> Health:
        if self._death:
            return Health("dead", self._death)
        if self._is_draining:
            return Health("draining", f"{len(self._channels)} requests left")
        if not self._loaded.done():
            return Health("loading", self._progress)
        failure = self._loaded.exception()
        return Health("ok", "serving") if failure is None else Health("dead", str(failure))

    @property
    def served_model(self) -> ServedModel:
        """Raises NotServingError before the model is loaded."""
        engine = self._engine()
        if engine is None:
            raise NotServingError(f"The model is not loaded: {self.health.detail}")
        names = (*self._config.served_model_names, *engine.model_names, _ALIAS)
        return ServedModel(
            names=tuple(dict.fromkeys(names)),
            created_seconds=self._created_seconds,
            context_length=engine.context_length,
            fingerprint=engine.fingerprint,
            vocab_size=engine.vocab_size,
            sampling_defaults=engine.sampling_defaults,
        )

    def stats(self) -> dict[str, Any]:
        """Returns a nested dict for /stats: counts, rates, seconds and bytes, ready for JSON."""
        return self.read_stats().as_dict()

    def read_stats(self) -> ServerStats:
        engine = self._engine()
        return ServerStats(
            status=self.health.status,
            model=engine.describe if engine is not None else {},
            metrics=self._metrics.snapshot(),
            scheduler=self._batch.stats,
            device=self._batch.device,
            num_live=len(self._channels),
            num_sequences=self._channels.num_sequences,
            max_running=self._config.engine.max_batch_size,
            prefix_disk=engine.prefix_disk.stats() if engine is not None else PrefixDiskStats(),
            thread_cpu_seconds=cpu_seconds_by_thread(self._workers),
            histograms=self._metrics.histograms(),
        )

    def _engine(self) -> ServedEngine | None:
        is_loaded = self._loaded.done() and self._loaded.exception() is None
        return self._loaded.result() if is_loaded else None

    # --- from the threads -----------------------------------------------------------------------

    def _report(self, line: str) -> None:
        """Batch thread: a step of the load is done."""
        self._progress = line
        log.info(line)

    def _deliver(self, events: list[TextEvent]) -> None:
        """Results thread: one wake-up of the event loop for all events of a step."""
        self._call_soon(self._dispatch, events)

    def _thread_died(self, reason: str) -> None:
        """Any of the threads, as its last act."""
        self._call_soon(self._die, reason)

    def _call_soon(self, function: Callable[[Any], None], argument: object) -> None:
        assert self._loop is not None  # the threads start after it was set
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:  # the loop is closed: the process ends and nobody listens
            log.debug("event loop closed", dropped=str(function))

    def _dispatch(self, events: list[TextEvent]) -> None:
        self._channels.dispatch(events)
        self._disarm_if_idle()

    def _disarm_if_idle(self) -> None:
        if not self._channels and not self._asides:
            self._watchdog.disarm()

    def _die(self, reason: str) -> None:
        """The engine cannot go on: live requests fail now, later ones are refused."""
        log.error("engine dead", reason=reason)
        self._death = self._death or reason
        self._died.set()
        self._abandon_all(ServerSideError("The engine stopped working; the server must be restarted."))

    def _abandon_all(self, error: ApiError) -> None:
        """Ends every live request here, and tells the threads that still work to forget it."""
        for request_id in self._channels.request_ids:
            self._channels.fail(request_id, error)
            self._processing.cancel(request_id)
        self._asides.fail_all(error)
        self._watchdog.disarm()
