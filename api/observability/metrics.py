"""The server's counters. All threads write, /stats and /metrics read; one short lock."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from api.observability.histogram import COUNT_BOUNDS, Histogram, RateWindow
from api.stats import StepTimes


@dataclass(frozen=True, slots=True)
class MetricsHistograms:
    """What /stats shows as percentiles, and /metrics as it is."""

    queue: Histogram = field(default_factory=Histogram)
    time_to_first_token: Histogram = field(default_factory=Histogram)
    inter_token: Histogram = field(default_factory=Histogram)
    end_to_end: Histogram = field(default_factory=Histogram)
    step: Histogram = field(default_factory=Histogram)
    step_rows: Histogram = field(default_factory=partial(Histogram, COUNT_BOUNDS))
    step_tokens: Histogram = field(default_factory=partial(Histogram, COUNT_BOUNDS))

    def copy(self) -> MetricsHistograms:
        return MetricsHistograms(**{each.name: getattr(self, each.name).copy() for each in fields(self)})


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
        self._accepted_prompt_tokens = 0
        self._prompt_tokens = RateWindow()
        self._output_tokens = RateWindow()
        self._histograms = MetricsHistograms()
        self._part_seconds = dict.fromkeys(("plan", "read", "dispatch", "update"), 0.0)
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

    def prompt_accepted(self, num_tokens: int) -> None:
        """Counts the tokens of a request's prompts, those that are cached included."""
        with self._lock:
            self._accepted_prompt_tokens += num_tokens

    def answered(self, seconds: float) -> None:
        """Records the time from a request's arrival to its last token; not of one that was cancelled."""
        with self._lock:
            self._histograms.end_to_end.add(seconds)

    def admitted(self, seconds: float) -> None:
        """Records the time from a request's arrival until the batch took it, or one of its choices."""
        with self._lock:
            self._histograms.queue.add(seconds)

    def first_token(self, seconds: float) -> None:
        """Records the time from a request's arrival to its first token."""
        with self._lock:
            self._histograms.time_to_first_token.add(seconds)

    def inter_token(self, seconds: float) -> None:
        """Records the gap between two tokens of one request."""
        with self._lock:
            self._histograms.inter_token.add(seconds)

    def step_done(
        self,
        seconds: float,
        *,
        num_prompt_tokens: int,
        num_output_tokens: int,
        num_running: int,
        num_rows: int = 0,
        times: StepTimes | None = None,
    ) -> None:
        """Records one step: its wall time, prompt tokens prefilled, answer tokens, sequences in the batch.

        ``num_rows``: 0 for a step that only reads back. ``times``: where the seconds went.
        """
        now_seconds = self._clock()
        with self._lock:
            self._histograms.step.add(seconds)
            self._prompt_tokens.add(num_prompt_tokens, now_seconds)
            self._output_tokens.add(num_output_tokens, now_seconds)
            self._peak_running = max(self._peak_running, num_running)
            if num_rows:
                self._histograms.step_rows.add(num_rows)
                self._histograms.step_tokens.add(num_prompt_tokens + num_output_tokens)
            if times is not None:
                self._add_times(times)

    def _add_times(self, times: StepTimes) -> None:
        parts = self._part_seconds
        parts["plan"] += times.plan_seconds
        parts["read"] += times.read_seconds
        parts["dispatch"] += times.dispatch_seconds
        parts["update"] += times.update_seconds

    def histograms(self) -> MetricsHistograms:
        """Returns copies."""
        with self._lock:
            return self._histograms.copy()

    def snapshot(self) -> dict[str, Any]:
        """Returns everything as a nested dict, ready for JSON, units in the keys."""
        with self._lock:  # for copies only: percentiles take longer than whoever counts should wait
            now_seconds = self._clock()
            requests, tokens = self._request_counts(), self._token_counts(now_seconds)
            histograms, peak_running = self._histograms.copy(), self._peak_running
            part_seconds = {name: round(seconds, 6) for name, seconds in self._part_seconds.items()}
        return {
            "uptime_seconds": round(now_seconds - self._started_seconds, 3),
            "requests": requests,
            "tokens": tokens,
            "queue_seconds": histograms.queue.snapshot(),
            "time_to_first_token_seconds": histograms.time_to_first_token.snapshot(),
            "inter_token_seconds": histograms.inter_token.snapshot(),
            "end_to_end_seconds": histograms.end_to_end.snapshot(),
            "step_seconds": histograms.step.snapshot(),
            "step_parts_seconds": part_seconds,
            "step_rows": _mean_and_max(histograms.step_rows),
            "step_tokens": _mean_and_max(histograms.step_tokens),
            "peak_running": peak_running,
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
        """``accepted_prompt`` are all that requests brought, ``prompt`` those that were computed.

        ``busy`` means while steps were computed: the rate that idle time does not dilute.
        """
        busy_seconds = max(self._histograms.step.total_seconds, 1e-9)
        prompt, output = self._prompt_tokens, self._output_tokens
        return {
            "accepted_prompt_total": self._accepted_prompt_tokens,
            "prompt_total": prompt.total,
            "output_total": output.total,
            "prompt_per_second": round(prompt.per_second(now_seconds), 2),
            "output_per_second": round(output.per_second(now_seconds), 2),
            "prompt_per_busy_second": round(prompt.total / busy_seconds, 2),
            "output_per_busy_second": round(output.total / busy_seconds, 2),
        }


def _mean_and_max(histogram: Histogram) -> dict[str, float]:
    return {
        "count": histogram.count,
        "mean": round(histogram.mean_seconds, 3),
        "max": round(histogram.max_seconds),
    }
