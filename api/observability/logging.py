"""Structured logging: one formatter on stderr for our own loggers and everybody else's.

Lines are made on the thread that logs and written on another: see ``line_writer.py``.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor

from api.config import LogFormat
from api.observability.line_writer import LineWriter
from api.shortening import cut_log_value

_CHATTY = ("asyncio", "fsspec", "filelock", "httpcore", "httpx", "huggingface_hub", "urllib3")
_REROUTED = ("uvicorn", "uvicorn.error", "uvicorn.access", "huggingface_hub", "mlx_lm")
_ROOT_HANDLER = "api-stderr"
_FLUSH_SECONDS = 2.0


def configure_logging(verbose: bool, log_format: LogFormat) -> LineWriter:
    """Sends all logging to stderr as text lines or JSON lines; DEBUG with ``verbose``, else INFO.

    Returns what writes them. May be called again (reload, tests): the former handler is replaced.
    """
    level = logging.DEBUG if verbose else logging.INFO
    _configure_structlog(level)
    writer = _configure_root(level, log_format)
    _reroute_libraries()
    return writer


class QueueingHandler(logging.Handler):
    """Makes lines, tracebacks included, and leaves them to a ``LineWriter``; blocks no thread that logs."""

    def __init__(self) -> None:
        super().__init__()
        self.writer = LineWriter(sys.stderr, self._describe_dropped)

    def emit(self, record: logging.LogRecord) -> None:
        if self.writer.is_full:
            self.writer.drop()
            return
        try:
            self.writer.put(self.format(record) + "\n")
        except Exception:  # as all handlers of the standard library do: a line is never worth a request
            self.handleError(record)

    def flush(self) -> None:
        self.writer.flush(_FLUSH_SECONDS)

    def close(self) -> None:
        self.writer.close()
        super().close()

    def _describe_dropped(self, num_lines: int) -> str:
        text, where = "%d log lines dropped: the log was not read fast enough", (__name__, logging.WARNING)
        record = logging.LogRecord(*where, __file__, 0, text, (num_lines,), None)
        return self.format(record) + "\n"


def _shared_processors() -> list[Processor]:
    """What every record passes, whether it came from structlog or from a plain stdlib logger."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        _without_colours,
        _with_short_values,
        structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%S.%f"),
    ]


def _without_colours(logger: object, method: str, event: EventDict) -> EventDict:
    """Uvicorn sends a second text of each message, with escape codes, for a formatter of its own."""
    event.pop("color_message", None)
    return event


def _with_short_values(logger: object, method: str, event: EventDict) -> EventDict:
    """Clients decide how long names, paths and whole bodies are; tracebacks come later and stay whole."""
    return {name: cut_log_value(value) for name, value in event.items()}


def _configure_structlog(level: int) -> None:
    structlog.configure(
        processors=[*_shared_processors(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        # Filters before any processor runs: a DEBUG call costs next to nothing at INFO.
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _configure_root(level: int, log_format: LogFormat) -> LineWriter:
    handler = QueueingHandler()
    handler.set_name(_ROOT_HANDLER)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared_processors(),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(log_format, sys.stderr is not None and sys.stderr.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    for old in [each for each in root.handlers if each.get_name() == _ROOT_HANDLER]:
        root.removeHandler(old)
        old.flush()
        old.close()
    root.addHandler(handler)
    root.setLevel(level)
    return handler.writer


def _renderers(log_format: LogFormat, is_tty: bool) -> list[Processor]:
    if log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    # The plain traceback: frames with all their locals would print prompts and whole weight tables.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=is_tty, pad_event_to=0, exception_formatter=plain)]


def _reroute_libraries() -> None:
    """Libraries that installed handlers of their own lose them, or each line would appear twice."""
    for name in _REROUTED:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.INFO)
