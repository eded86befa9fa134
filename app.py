"""The server's entry point: ``python app.py [MODEL]``; see ``--help``."""

from __future__ import annotations

import functools
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from api.command_line.parser import read_command_line
from api.config import ServerConfig
from api.engine.cpu.blas.load import measure_blas, preload_blas
from api.engine.loading.locate import locate_model
from api.errors import ApiError, StartupError
from api.http.chat_completions import route as chat_completions
from api.http.completions import route as completions
from api.http.metrics import route as metrics
from api.http.models import route as models
from api.http.openapi import route as openapi
from api.http.page.route import is_of_page, page_routes
from api.http.status import route as status
from api.http.tokenize import route as tokenize
from api.http.transport.api_keys import RATE_LIMIT_HEADERS, ApiKeyMiddleware, no_request
from api.http.transport.context import HttpContext
from api.http.transport.description import routes_in
from api.http.transport.dialect import request_id_headers
from api.http.transport.json_answers import answer_api_error, answer_http_exception
from api.http.transport.middleware import ErrorBoundaryMiddleware, RequestIdMiddleware
from api.http.transport.origin_guard import OriginGuardMiddleware
from api.observability.logging import configure_logging
from api.observability.queued_prints import queued_prints
from api.server_handler import ServerHandler
from api.serving.exposure import check_certificate, exposure_warning
from api.serving.key_reload import reload_on_hangup
from api.serving.process_end import STARTUP_ERROR_CODE, end_process
from api.serving.server import serve
from api.serving.sockets import open_socket, open_unix_socket
from api.serving.supervision import Supervision
from api.serving.supervisor import Supervisor

log = structlog.get_logger(__name__)

ROUTE_MODULES = (chat_completions, completions, tokenize, models, status, metrics, openapi)


def create_app(config: ServerConfig, handler: ServerHandler | None = None) -> FastAPI:
    """The ASGI application. The model loads while it already answers, so /health can say so."""
    handler = handler or create_handler(config)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        handler.start()
        yield
        await handler.stop()

    app = FastAPI(
        title="MLX chat server",
        lifespan=lifespan,
        openapi_url=None,  # bodies are checked by hand: http/openapi describes them
        redirect_slashes=False,
    )
    app.state.http = http = HttpContext.of(config, handler)
    if not config.no_ui:
        app.router.routes.extend(page_routes())
    for module in ROUTE_MODULES:
        app.include_router(module.router)
    app.add_exception_handler(ApiError, answer_api_error)
    app.add_exception_handler(HTTPException, answer_http_exception)
    _add_middleware(app, http)
    return app


def _add_middleware(app: FastAPI, http: HttpContext) -> None:
    """The last one added is the outermost: each answer has its id, also a preflight's and a 500.

    A page may read why its key was refused, so CORS is around the keys; a foreign page may read nothing.
    """
    limits = RATE_LIMIT_HEADERS if http.keys.is_guarding else ()
    is_page = no_request if http.config.no_ui else is_of_page
    app.add_middleware(ApiKeyMiddleware, keys=http.keys, handler=http.handler, is_page=is_page)
    app.add_middleware(ErrorBoundaryMiddleware)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],  # that the next layer has let through
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=[*request_id_headers(routes_in(app.routes)), "retry-after", *limits],
    )
    app.add_middleware(OriginGuardMiddleware, config=http.config, handler=http.handler)
    app.add_middleware(RequestIdMiddleware)


def create_handler(config: ServerConfig) -> ServerHandler:
    """Puts the BLAS in place: the handler's batch thread is the first to import mlx."""
    log.info(preload_blas(config.workers).line)
    return ServerHandler(config)


def run_worker(config: ServerConfig, sock: socket.socket, supervision: Supervision) -> int:
    """A supervised process's whole work; returns the exit code."""
    with queued_prints(configure_logging(config.verbose, config.log_format)):
        return load_and_serve(config, sock, supervision)


def load_and_serve(config: ServerConfig, sock: socket.socket, supervision: Supervision) -> int:
    """Loads and serves in this process; returns the exit code."""
    try:
        handler = create_handler(config)
        app = create_app(config, handler)
        if config.api_key_file is not None:
            reload_on_hangup(app.state.http.keys)
        return serve(config, app, handler, sock, supervision)
    except StartupError as error:
        return _report(error)


def _report(error: StartupError) -> int:
    print(f"error: {error}", file=sys.stderr, flush=True)
    return STARTUP_ERROR_CODE


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: see ``process_end.py``; 0 after a drain, 130 on an early Ctrl-C."""
    command = read_command_line(sys.argv[1:] if argv is None else argv)
    config = command.config
    if command.only_checks:
        return check(config)
    with queued_prints(configure_logging(config.verbose, config.log_format)):
        try:
            check_certificate(config)
            sock = open_unix_socket(config.uds) if config.uds else open_socket(config.host, config.port)
            if warning := exposure_warning(config):
                log.warning(warning)
            if config.workers == 1 and not config.reload:
                return load_and_serve(config, sock, Supervision())
            return _supervise(config, sock)
        except StartupError as error:
            return _report(error)
        except KeyboardInterrupt:
            return 130


def check(config: ServerConfig) -> int:
    """Prints the memory plan of a model that can be served; returns the exit code."""
    with queued_prints(configure_logging(config.verbose, config.log_format)):
        try:
            check_certificate(config)
            plan = _checked_plan(config)
        except StartupError as error:
            return _report(error)
        except KeyboardInterrupt:
            return 130
    print(plan)  # to stdout, which the prints of libraries above are kept from
    return 0


def _checked_plan(config: ServerConfig) -> str:
    log.info(preload_blas(config.workers).line)
    from api.serving.check import check_model  # imports mlx, before which the BLAS has to be in place

    _require_room(config)
    return check_model(config)


def _require_room(config: ServerConfig) -> None:
    if config.workers > 1:
        from api.serving.memory import require_room  # imports mlx, which a supervisor needs for no more

        files = locate_model(config.engine.model, log.info)  # fetched here once, not by each worker
        require_room(files, config.workers, config.engine.cpu_weights, config.engine.kv_memory_bytes)


def _supervise(config: ServerConfig, sock: socket.socket) -> int:
    _require_room(config)
    measure_blas(config.workers)  # alone on the machine, and once for all workers
    watched = Path(__file__).resolve().parent if config.reload else None
    work = functools.partial(run_worker, config)
    return Supervisor(work, sock, config.workers, watched, config.api_key_file is not None).run()


if __name__ == "__main__":
    end_process(main())
