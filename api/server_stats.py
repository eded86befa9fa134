"""The threads' counts and the scheduler's snapshot of one moment: /stats and /metrics are both made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from api.observability.metrics import MetricsHistograms
from api.stats import DeviceBytes, PrefixCacheStats, PrefixDiskStats, SchedulerStats

Section = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ServerStats:
    """``as_dict`` is what /stats says; ``http/metrics/`` writes the same for Prometheus."""

    status: str
    model: Section
    metrics: Section  # a snapshot of the Metrics
    scheduler: SchedulerStats
    device: DeviceBytes
    num_live: int  # requests
    num_sequences: int  # of these requests: rows that they take, or wait for
    max_running: int
    prefix_disk: PrefixDiskStats = field(default_factory=PrefixDiskStats)
    thread_cpu_seconds: Section = field(default_factory=dict)  # by the thread's name
    histograms: MetricsHistograms = field(default_factory=MetricsHistograms)

    def as_dict(self) -> Section:
        """Counts, rates, seconds and bytes; units in the keys."""
        metrics = dict(self.metrics)
        requests = {"live": self.num_live, **metrics.pop("requests")}
        return {
            "status": self.status,
            "model": self.model,
            "requests": requests,
            "batch": self._batch(metrics.pop("peak_running")),
            "speculation": self.speculation,
            "kv_memory": self._kv_memory(),
            "prefix_cache": {
                **prefix_cache_section(self.scheduler.prefix_cache),
                "disk": prefix_disk_section(self.prefix_disk),
            },
            "device_memory": self._device_memory(),
            "thread_cpu_seconds": self.thread_cpu_seconds,
            **metrics,
        }

    @property
    def num_queued(self) -> int:
        """Rows that requests wait for."""
        return max(0, self.num_sequences - self.scheduler.num_running)

    def _batch(self, peak_running: int) -> Section:
        return {
            "running": self.scheduler.num_running,
            "queued": self.num_queued,
            "peak_running": peak_running,
            "max_running": self.max_running,
            "preemptions": self.scheduler.num_preemptions,
            "proposed_tokens": self.scheduler.num_proposed_tokens,
            "accepted_tokens": self.scheduler.num_accepted_tokens,
        }

    @property
    def speculation(self) -> Section:
        """By whose proposals: what the chats' own texts and predictions said, and what a draft model did."""
        scheduler = self.scheduler
        return {
            "text": _accepted(
                scheduler.num_proposed_tokens - scheduler.num_drafted_tokens,
                scheduler.num_accepted_tokens - scheduler.num_accepted_drafts,
            ),
            "draft_model": _accepted(scheduler.num_drafted_tokens, scheduler.num_accepted_drafts),
        }

    def _kv_memory(self) -> Section:
        return {
            "used_bytes": self.scheduler.kv_used_bytes,
            "reserved_bytes": self.scheduler.kv_reserved_bytes,
            "budget_bytes": self.scheduler.kv_budget_bytes,
        }

    def _device_memory(self) -> Section:
        """``unaccounted_bytes``: what MLX holds beside weights, slots and blocks; nothing but small change
        when no step is under way.
        """
        device, scheduler = self.device, self.scheduler
        accounted = device.loaded_bytes + scheduler.kv_reserved_bytes + scheduler.prefix_cache.used_bytes
        return {
            "active_bytes": device.active_bytes,
            "loaded_bytes": device.loaded_bytes,
            "unaccounted_bytes": device.active_bytes - accounted,
            "buffer_cache_bytes": device.cache_bytes,
            "peak_bytes": device.peak_bytes,
        }


def _accepted(num_proposed: int, num_accepted: int) -> Section:
    rate = num_accepted / num_proposed if num_proposed else 0.0
    return {
        "proposed_tokens": num_proposed,
        "accepted_tokens": num_accepted,
        "acceptance_rate": round(rate, 4),
    }


def prefix_cache_section(stats: PrefixCacheStats) -> Section:
    """``hit_rate``: prompt tokens that were there, of all that were looked up; 0 where none were."""
    hit_rate = stats.num_hit_tokens / stats.num_asked_tokens if stats.num_asked_tokens else 0.0
    return {
        "enabled": stats.limit_bytes > 0,
        "hit_rate": round(hit_rate, 4),
        "asked_tokens": stats.num_asked_tokens,
        "hit_tokens": stats.num_hit_tokens,
        "blocks": stats.num_blocks,
        "evicted_blocks": stats.num_evicted_blocks,
        "used_bytes": stats.used_bytes,
        "limit_bytes": stats.limit_bytes,
    }


def prefix_disk_section(stats: PrefixDiskStats) -> Section:
    """``blocks`` and bytes are of all that share the folder, the counts of this process."""
    return {
        "enabled": stats.limit_bytes > 0,
        "hit_tokens": stats.num_hit_tokens,
        "blocks": stats.num_blocks,
        "written_blocks": stats.num_written_blocks,
        "skipped_blocks": stats.num_skipped_blocks,
        "damaged_files": stats.num_damaged_files,
        "used_bytes": stats.used_bytes,
        "limit_bytes": stats.limit_bytes,
    }
