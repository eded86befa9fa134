"""A moment's ``ServerStats`` in Prometheus' text format.

Suffixes are those of vLLM's server where the meaning is the same, so that a board for it needs another
prefix only. The prefix is our own: series that are not told apart would be added up by the boards of whoever
runs both, and what vLLM does not have would stand under its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from api.http.metrics.families import Families
from api.observability.histogram import COUNT_BOUNDS, SECONDS_BOUNDS
from api.server_stats import ServerStats

_TOLD_BOUNDS = SECONDS_BOUNDS[::8]  # six a decade: 1, 1.47, 2.15, 3.16, 4.64, 6.81
_STEP_BOUNDS = tuple(bound for bound in _TOLD_BOUNDS if 1e-4 <= bound <= 10)
_TOKEN_BOUNDS = tuple(bound for bound in _TOLD_BOUNDS if 1e-3 <= bound <= 10)
_REQUEST_BOUNDS = tuple(bound for bound in _TOLD_BOUNDS if 1e-3 <= bound <= 1000)
_FINISHED_REASONS = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "cancelled": "abort"}


def exposition(stats: ServerStats, labels: Mapping[str, str]) -> bytes:
    """``labels``: what all samples have."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatsCollector(stats, labels))
    return generate_latest(registry)


class StatsCollector(Collector):
    """All families, from one ``ServerStats``: what /stats says, said again."""

    def __init__(self, stats: ServerStats, labels: Mapping[str, str]) -> None:
        self._stats = stats
        self._make = Families(labels)

    def collect(self) -> Iterator[Metric]:
        yield from self._requests(self._stats.metrics["requests"])
        yield from self._latencies()
        yield from self._tokens(self._stats.metrics["tokens"])
        yield from self._steps()
        yield from self._speculation()
        yield from self._kv_cache()
        yield from self._prefix_cache()
        yield from self._prefix_disk()
        yield from self._process()

    def _requests(self, counts: Mapping[str, Any]) -> Iterator[Metric]:
        make, stats = self._make, self._stats
        yield make.counter("requests_received", "Requests, whatever became of them", counts["received"])
        yield make.counters(
            "request_success",
            "Requests that were answered, and those that were cancelled (abort)",
            ["finished_reason"],
            [((reason,), counts[outcome]) for outcome, reason in _FINISHED_REASONS.items()],
        )
        failures = [(("failed", code), count) for code, count in counts["failed_by_code"].items()]
        refusals = [(("refused", code), count) for code, count in counts["refused_by_code"].items()]
        yield make.counters(
            "request_failure",
            "Requests that ended with an error (failed) or were turned away (refused)",
            ["outcome", "code"],
            failures + refusals,
        )
        running = stats.scheduler.num_running
        yield make.gauge("num_requests_running", "Choices of requests in the batch", running)
        yield make.gauge("num_requests_waiting", "Choices that wait for the batch", stats.num_queued)
        yield make.gauge("max_requests_running", "Choices that the batch can have", stats.max_running)
        preemptions = stats.scheduler.num_preemptions
        yield make.counter("num_preemptions", "Times that a choice lost its place for a while", preemptions)

    def _latencies(self) -> Iterator[Metric]:
        make, read = self._make.histogram, self._stats.histograms
        text = "From a request's arrival until a choice had its place in the batch; of those with a token"
        yield make("request_queue_time_seconds", text, read.queue, _REQUEST_BOUNDS)
        text = "From a request's arrival to a choice's first token"
        yield make("time_to_first_token_seconds", text, read.time_to_first_token, _REQUEST_BOUNDS)
        text = "Between two tokens of a choice"
        yield make("inter_token_latency_seconds", text, read.inter_token, _TOKEN_BOUNDS)
        text = "From the arrival to the end of requests that were answered"
        yield make("e2e_request_latency_seconds", text, read.end_to_end, _REQUEST_BOUNDS)

    def _tokens(self, counts: Mapping[str, Any]) -> Iterator[Metric]:
        make = self._make.counter
        text = "Tokens of the prompts that were accepted, cached ones included"
        yield make("prompt_tokens", text, counts["accepted_prompt_total"])
        text = "Prompt tokens that were computed, again after a preemption"
        yield make("prefill_tokens", text, counts["prompt_total"])
        yield make("generation_tokens", "Tokens of answers", counts["output_total"])

    def _steps(self) -> Iterator[Metric]:
        make, read = self._make, self._stats.histograms
        yield make.histogram("step_duration_seconds", "Time of a step", read.step, _STEP_BOUNDS)
        text = "Rows of a step's forward, proposals included"
        yield make.histogram("step_rows", text, read.step_rows, COUNT_BOUNDS)
        text = "Prompt tokens computed and answer tokens read in a step"
        yield make.histogram("iteration_tokens_total", text, read.step_tokens, COUNT_BOUNDS)
        parts = self._stats.metrics["step_parts_seconds"]
        yield make.counters(
            "step_part_seconds",
            "Where the time of steps went: plan and update on the host; read waits for the device",
            ["part"],
            [((part,), seconds) for part, seconds in parts.items()],
        )

    def _speculation(self) -> Iterator[Metric]:
        make, sections = self._make.counters, self._stats.speculation.items()
        proposed = [((source,), section["proposed_tokens"]) for source, section in sections]
        accepted = [((source,), section["accepted_tokens"]) for source, section in sections]
        yield make("spec_decode_num_draft_tokens", "Tokens that were proposed", ["source"], proposed)
        yield make("spec_decode_num_accepted_tokens", "Proposals that came true", ["source"], accepted)

    def _kv_cache(self) -> Iterator[Metric]:
        make, scheduler = self._make.gauge, self._stats.scheduler
        share = scheduler.kv_used_bytes / scheduler.kv_budget_bytes if scheduler.kv_budget_bytes else 0.0
        yield make("kv_cache_usage_perc", "Share of the budget that chats use; 1 is all of it", share)
        yield make("kv_cache_used_bytes", "KV of the chats in the batch", scheduler.kv_used_bytes)
        yield make("kv_cache_reserved_bytes", "What the slots' arrays take", scheduler.kv_reserved_bytes)
        yield make("kv_cache_budget_bytes", "What chats and kept prompts may take", scheduler.kv_budget_bytes)

    def _prefix_cache(self) -> Iterator[Metric]:
        make, cache = self._make, self._stats.scheduler.prefix_cache
        yield make.counter("prefix_cache_queries", "Prompt tokens looked up", cache.num_asked_tokens)
        yield make.counter("prefix_cache_hits", "Prompt tokens that were cached", cache.num_hit_tokens)
        yield make.counter("prefix_cache_evicted_blocks", "Blocks given up", cache.num_evicted_blocks)
        yield make.gauge("prefix_cache_blocks", "Blocks that are kept", cache.num_blocks)
        yield make.gauge("prefix_cache_used_bytes", "What they take", cache.used_bytes)
        yield make.gauge("prefix_cache_limit_bytes", "What they may take", cache.limit_bytes)

    def _prefix_disk(self) -> Iterator[Metric]:
        make, disk = self._make, self._stats.prefix_disk
        yield make.counter("prefix_disk_hits", "Prompt tokens read from disk", disk.num_hit_tokens)
        yield make.counter("prefix_disk_written_blocks", "Blocks written", disk.num_written_blocks)
        yield make.counter("prefix_disk_skipped_blocks", "No time or room for them", disk.num_skipped_blocks)
        yield make.counter("prefix_disk_damaged_files", "Found and removed", disk.num_damaged_files)
        yield make.gauge("prefix_disk_blocks", "Of all that share the folder", disk.num_blocks)
        yield make.gauge("prefix_disk_used_bytes", "Of all that share the folder", disk.used_bytes)
        yield make.gauge("prefix_disk_limit_bytes", "What the folder may take", disk.limit_bytes)

    def _process(self) -> Iterator[Metric]:
        make, device = self._make, self._stats.device
        yield make.gauge("uptime_seconds", "Since the process began", self._stats.metrics["uptime_seconds"])
        yield make.gauge("device_memory_loaded_bytes", "Weights and constants", device.loaded_bytes)
        yield make.gauge("device_memory_active_bytes", "What MLX holds", device.active_bytes)
        yield make.gauge("device_memory_cache_bytes", "Freed and kept for reuse", device.cache_bytes)
        yield make.gauge("device_memory_peak_bytes", "The most that was active", device.peak_bytes)
        yield make.counters(
            "thread_cpu_seconds",
            "Processor time of each thread, where the system tells it",
            ["thread"],
            [((thread,), seconds) for thread, seconds in self._stats.thread_cpu_seconds.items()],
        )
