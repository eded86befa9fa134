"""A program like app.py, with a fake engine: ``serving_program.py MODE [options]``.

``load-error`` fails to load, ``hang`` answers never end by themselves, ``crash`` dies at the start, and
``fragile`` loses its engine by the first request, once its answer has begun.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

from api.command_line.parser import parse_args
from api.config import ServerConfig
from api.errors import NotServingError, ServerSideError, StartupError
from api.events import Failed
from api.server_handler import Health
from api.serving.process_end import STARTUP_ERROR_CODE
from api.serving.server import serve
from api.serving.sockets import open_socket, url_of
from api.serving.supervision import Supervision
from api.serving.supervisor import Supervisor
from api.types import GenerationRequest
from app import create_app
from tests.fakes.server_handler import FakeChannel, FakeServerHandler, hanging, hello


class ProgramHandler(FakeServerHandler):
    """Drains like the real one: what has not ended in time fails."""

    def __init__(self, mode: str) -> None:
        super().__init__(hello if mode == "hello" else hanging)
        self._is_fragile = mode == "fragile"
        self.served_model = replace(self.served_model, names=(f"pid-{os.getpid()}", "model"))
        if mode == "load-error":
            self.load_error = StartupError("no such model: 'x'")

    def submit(self, request: GenerationRequest) -> FakeChannel:
        channel = super().submit(request)
        if self._is_fragile:
            asyncio.get_running_loop().call_later(0.1, self._die, channel)
        return channel

    def _die(self, channel: FakeChannel) -> None:
        self.health = Health("dead", "the batch thread died")
        self.died.set()
        channel.put(Failed(channel.request_id, ServerSideError("The engine stopped working.")))

    async def drain(self, timeout_seconds: float) -> None:
        await super().drain(timeout_seconds)
        if self.requests and not self.cancelled:
            await asyncio.sleep(timeout_seconds)
            for channel in self.channels:
                channel.put(Failed(channel.request_id, NotServingError("The server is shutting down.")))


def run(mode: str, config: ServerConfig, sock: socket.socket, supervision: Supervision) -> int:
    if mode == "crash":
        return 7
    handler = ProgramHandler(mode).typed
    try:
        return serve(config, create_app(config, handler), handler, sock, supervision)
    except StartupError as error:
        print(f"error: {error}", file=sys.stderr)
        return STARTUP_ERROR_CODE


def main() -> int:
    mode, config = sys.argv[1], parse_args(sys.argv[2:])
    sock = open_socket("127.0.0.1", 0)
    print(url_of(sock), flush=True)
    target = functools.partial(run, mode, config)
    if config.workers == 1 and not config.reload:
        return target(sock, Supervision())
    watched = Path(os.environ["WATCHED"]) if config.reload else None
    return Supervisor(target, sock, config.workers, watched).run()


if __name__ == "__main__":
    sys.exit(main())
