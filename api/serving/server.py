"""One serving process: uvicorn with a drain before its shutdown."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import threading
import time
from types import FrameType
from typing import cast

import structlog
import uvicorn
from starlette.types import ASGIApp

from api.config import ServerConfig
from api.errors import StartupError
from api.open_files import max_connections, raise_open_file_limit
from api.server_handler import ServerHandler
from api.serving.connections.doorkeeper import Connection, Doorkeeper
from api.serving.connections.patience import Patience
from api.serving.connections.protocol import ServingConfig
from api.serving.process_end import ENGINE_DEAD_CODE, insists, stop_signals
from api.serving.sockets import url_of
from api.serving.supervision import Supervision

log = structlog.get_logger(__name__)

# After the drain only the tails of answers are on their way; whoever does not take them is cut off.
_TAIL_SECONDS = 3
# One stop often arrives twice: make and the supervisor pass on what their whole group has got already.
ECHO_SECONDS = 0.3
# Longer than the usual 5 s, so that clients which pool connections do not meet one just closing.
_IDLE_CONNECTION_SECONDS = 75
# How long a dead engine's process still answers: live requests get their error, /health says why.
_DEAD_SECONDS = 1.0
_LAST_RESORT_SECONDS = 15.0  # for the rest of its end, whatever hangs
_ALONE = Supervision()


def serve(
    config: ServerConfig,
    app: ASGIApp,
    handler: ServerHandler,
    sock: socket.socket,
    supervision: Supervision = _ALONE,
) -> int:
    """Serves until a signal has been obeyed or the engine is dead; returns the exit code.

    Raises StartupError when the model cannot be loaded.
    """
    server = DrainingServer(config, app, handler, url_of(sock), supervision)
    if signal.SIGHUP in stop_signals():
        signal.signal(signal.SIGHUP, server.handle_exit)  # uvicorn sets the others
    server.run([sock])
    if server.load_error is not None:
        raise server.load_error
    return ENGINE_DEAD_CODE if server.is_engine_dead else 0


class DrainingServer(uvicorn.Server):
    """The first signal drains: it still listens and says 503. A second SIGINT or SIGTERM ends the process.

    It also ends by itself, a moment after its engine died.
    """

    def __init__(
        self,
        config: ServerConfig,
        app: ASGIApp,
        handler: ServerHandler,
        url: str,
        supervision: Supervision = _ALONE,
    ) -> None:
        raise_open_file_limit()
        patience = Patience(config.idle_read_seconds, _IDLE_CONNECTION_SECONDS)
        self._doorkeeper = Doorkeeper(patience, max_connections())
        super().__init__(_uvicorn_config(config, app, self._doorkeeper))
        self.load_error: StartupError | None = None
        self.is_engine_dead = False
        self._handler = handler
        self._supervision = supervision
        self._is_drained = asyncio.Event()
        self._ends_when_dead = config.exit_when_dead == "on"
        self._drain_seconds = config.drain_seconds
        self._url = url
        self._is_draining = False
        self._signalled_seconds = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_resort: threading.Timer | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        if self._supervision.listens_when_loaded:
            self._handler.start()
            await self._wait_loaded_or_drained()
        await super().startup(sockets)
        self._tasks.append(asyncio.create_task(self._watch_load()))
        connections = cast("set[Connection]", self.server_state.connections)
        self._tasks.append(asyncio.create_task(self._doorkeeper.watch(connections)))
        if self._ends_when_dead:
            self._tasks.append(asyncio.create_task(self._watch_engine()))

    async def _wait_loaded_or_drained(self) -> None:
        waits = [asyncio.create_task(each) for each in (self._handler.wait_loaded(), self._is_drained.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)  # what a load raised is met again in _watch_load

    async def _watch_load(self) -> None:
        try:
            await self._handler.wait_loaded()
        except StartupError as error:
            self.load_error = error
            self.should_exit = True
            return
        self._supervision.on_serving()
        if not self._is_draining:
            self._announce()

    async def _watch_engine(self) -> None:
        await self._handler.wait_dead()
        if self._is_draining:
            return
        self.is_engine_dead = True
        log.error("ending, because only a new process can serve again", exit_code=ENGINE_DEAD_CODE)
        self._last_resort = threading.Timer(_LAST_RESORT_SECONDS, os._exit, (ENGINE_DEAD_CODE,))
        self._last_resort.daemon = True
        self._last_resort.start()
        await asyncio.sleep(_DEAD_SECONDS)
        self.should_exit = True

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            if self._last_resort is not None:
                self._last_resort.cancel()

    def _announce(self) -> None:
        log.info(f"serving at {self._url}")
        log.info(
            f"try: curl {self._url}/v1/chat/completions -H 'Content-Type: application/json' "
            """-d '{"model": "model", "messages": [{"role": "user", "content": "Hello!"}]}'"""
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGINT and multiprocessing.parent_process() is not None:
            return  # Ctrl-C reaches the whole group: the parent decides, and sends its own signal
        now_seconds = time.monotonic()
        if self._is_draining:
            if now_seconds - self._signalled_seconds < ECHO_SECONDS or not insists(sig):
                return
            os._exit(128 + sig)  # threads may be deep in native code; nothing gentler is sure to end them
        self._is_draining, self._signalled_seconds = True, now_seconds
        if self._loop is None:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._begin_drain, sig)

    def _begin_drain(self, sig: int) -> None:
        log.info("draining", signal=signal.Signals(sig).name, limit_seconds=self._drain_seconds)
        self._tasks.append(asyncio.create_task(self._drain()))

    async def _drain(self) -> None:
        try:
            await self._handler.drain(self._drain_seconds)
        finally:
            self.should_exit = True
            self._is_drained.set()


def _uvicorn_config(config: ServerConfig, app: ASGIApp, doorkeeper: Doorkeeper) -> ServingConfig:
    return ServingConfig(
        app,
        doorkeeper,
        log_config=None,  # its loggers run into ours
        log_level="debug" if config.verbose else "warning",
        access_log=False,
        ws="none",
        lifespan="on",
        server_header=False,
        timeout_keep_alive=_IDLE_CONNECTION_SECONDS,
        timeout_graceful_shutdown=_TAIL_SECONDS,
    )
