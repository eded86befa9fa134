"""The server's counters. All threads write, /stats reads; one short lock."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from api.observability.histogram import Histogram, RateWindow


class Metrics:
    """Requests by outcome, token rates, latencies and step times since the server started."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._started_seconds = clock()
        self._num_received = 0
        self._outcomes: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._prompt_tokens = RateWindow()
        self._output_tokens = RateWindow()
        self._time_to_first_token = Histogram()
        self._inter_token = Histogram()
        self._step = Histogram()
        self._peak_running = 0

    def request_received(self) -> None:
        """Counts a request, whatever becomes of it: each ends in one of the outcomes."""
        with self._lock:
            self._num_received += 1

    def request_refused(self, code: str) -> None:
        """Counts a request that was turned away: invalid, queue full, loading, draining, dead."""
        with self._lock:
            self._outcomes["refused"] += 1
            self._refusals[code] += 1

    def request_ended(self, outcome: str) -> None:
        """Counts an answered request; ``outcome`` is its finish reason."""
        with self._lock:
            self._outcomes[outcome] += 1

    def request_failed(self, code: str) -> None:
        """Counts a request that was taken and ended with an error."""
        with self._lock:
            self._outcomes["failed"] += 1
            self._failures[code] += 1

    def first_token(self, seconds: float) -> None:
        """Records the time from a request's arrival to its first token."""
        with self._lock:
            self._time_to_first_token.add(seconds)

    def inter_token(self, seconds: float) -> None:
        """Records the gap between two tokens of one request."""
        with self._lock:
            self._inter_token.add(seconds)

    def step_done(
        self, seconds: float, *, num_prompt_tokens: int, num_output_tokens: int, num_running: int
    ) -> None:
        """Records one step: its wall time, prompt tokens prefilled, answer tokens, sequences in the batch."""
        now_seconds = self._clock()
        with self._lock:
            self._step.add(seconds)
            self._prompt_tokens.add(num_prompt_tokens, now_seconds)
            self._output_tokens.add(num_output_tokens, now_seconds)
            self._peak_running = max(self._peak_running, num_running)

    def snapshot(self) -> dict[str, Any]:
        """Returns everything as a nested dict, ready for JSON, units in the keys."""
        with self._lock:
            now_seconds = self._clock()
            return {
                "uptime_seconds": round(now_seconds - self._started_seconds, 3),
                "requests": self._request_counts(),
                "tokens": self._token_counts(now_seconds),
                "time_to_first_token_seconds": self._time_to_first_token.snapshot(),
                "inter_token_seconds": self._inter_token.snapshot(),
                "step_seconds": self._step.snapshot(),
                "peak_running": self._peak_running,
            }

    def _request_counts(self) -> dict[str, Any]:
        outcomes = ("stop", "length", "tool_calls", "cancelled", "failed", "refused")
        return {
            "received": self._num_received,
            **{outcome: self._outcomes[outcome] for outcome in outcomes},
            "failed_by_code": dict(self._failures),
            "refused_by_code": dict(self._refusals),
        }

    def _token_counts(self, now_seconds: float) -> dict[str, float]:
        """``busy`` means while steps were computed: the rate that idle time does not dilute."""
        busy_seconds = max(self._step.total_seconds, 1e-9)
        prompt, output = self._prompt_tokens, self._output_tokens
        return {
            "prompt_total": prompt.total,
            "output_total": output.total,
            "prompt_per_second": round(prompt.per_second(now_seconds), 2),
            "output_per_second": round(output.per_second(now_seconds), 2),
            "prompt_per_busy_second": round(prompt.total / busy_seconds, 2),
            "output_per_busy_second": round(output.total / busy_seconds, 2),
        }
