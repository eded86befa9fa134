"""One request's clock, and the one line that it leaves in the log."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from api.errors import ApiError
from api.events import Usage
from api.types import FinishReason

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class RequestTiming:
    """When a choice's tokens came; all times are ``time.monotonic()`` seconds."""

    arrival_seconds: float
    num_tokens: int = 0
    first_token_seconds: float = 0.0
    last_token_seconds: float = 0.0

    def token(self, now_seconds: float) -> float:
        """Counts one token; returns the seconds since the one before (or since the arrival)."""
        previous = self.last_token_seconds if self.num_tokens else self.arrival_seconds
        if not self.num_tokens:
            self.first_token_seconds = now_seconds
        self.num_tokens += 1
        self.last_token_seconds = now_seconds
        return now_seconds - previous

    @property
    def time_to_first_token_seconds(self) -> float | None:
        return self.first_token_seconds - self.arrival_seconds if self.num_tokens else None

    @property
    def tokens_per_second(self) -> float | None:
        """The decode rate: tokens after the first by the time they took; None below two tokens."""
        elapsed = self.last_token_seconds - self.first_token_seconds
        return (self.num_tokens - 1) / elapsed if self.num_tokens > 1 and elapsed > 0 else None


@contextmanager
def logged_as(x_request_id: str) -> Generator[None]:
    """Lines of this thread, libraries' among them, have the name that the request's client knows."""
    with structlog.contextvars.bound_contextvars(x_request_id=x_request_id):
        yield


def log_finished(
    request_id: str, reason: FinishReason, usage: Usage, choices: Sequence[RequestTiming]
) -> None:
    """``choices``: the timing of each; the line has the earliest first token and the sum of their rates."""
    first_tokens = [t.time_to_first_token_seconds for t in choices if t.num_tokens]
    rates = [rate for timing in choices if (rate := timing.tokens_per_second) is not None]
    log.info(
        "request finished",
        request_id=request_id,
        finish_reason=reason.value,
        prompt_tokens=usage.num_prompt_tokens,
        completion_tokens=usage.num_completion_tokens,
        cached_tokens=usage.num_cached_tokens,
        ttft_seconds=_rounded(min(filter(None, first_tokens), default=None), 4),
        tokens_per_second=_rounded(sum(rates) if rates else None, 1),
    )


def log_failed(request_id: str, error: ApiError) -> None:
    """A request that was taken and could not be answered; tracebacks are logged where they occur."""
    log.warning(
        "request failed", request_id=request_id, status=error.status, code=error.code, error=error.message
    )


def log_refused(request_id: str, error: ApiError) -> None:
    """A request that was turned away, at the door or because of what it asks for."""
    log.warning(
        "request refused", request_id=request_id, status=error.status, code=error.code, error=error.message
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
