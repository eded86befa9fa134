"""Snapshots of the batch thread for /stats and /metrics: counts since the start, and what is held now."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DeviceBytes:
    """MLX's own count of what it holds."""

    loaded_bytes: int = 0  # active when the model had just been loaded: weights and constants
    active_bytes: int = 0
    cache_bytes: int = 0  # freed buffers that are kept for reuse
    peak_bytes: int = 0  # the most that was ever active


@dataclass(frozen=True, slots=True)
class PrefixCacheStats:
    """Counts since the start, and what is kept now. ``num_hit_tokens`` of ``num_asked_tokens`` were there."""

    num_asked_tokens: int = 0  # prompt tokens looked up, each prompt once
    num_hit_tokens: int = 0
    num_blocks: int = 0
    num_evicted_blocks: int = 0
    used_bytes: int = 0
    limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PrefixDiskStats:
    """What the prefix cache keeps on disk now, and this process's counts since its start."""

    num_blocks: int = 0  # of all models and processes that share the folder
    used_bytes: int = 0
    limit_bytes: int = 0
    num_hit_tokens: int = 0  # taken into memory because a prompt began with them
    num_written_blocks: int = 0
    num_skipped_blocks: int = 0  # not written: no time, no room
    num_damaged_files: int = 0  # found and removed


@dataclass(frozen=True, slots=True)
class SchedulerStats:
    """A snapshot; the batch thread publishes one when an answer ends, and every 0.1 s."""

    num_running: int = 0
    num_waiting: int = 0
    kv_used_bytes: int = 0
    kv_reserved_bytes: int = 0
    kv_budget_bytes: int = 0
    num_preemptions: int = 0
    num_proposed_tokens: int = 0  # by speculation
    num_accepted_tokens: int = 0  # of these, those that plain decoding samples too
    num_drafted_tokens: int = 0  # of the proposed ones: by a draft model
    num_accepted_drafts: int = 0  # of these
    prefix_cache: PrefixCacheStats = field(default_factory=PrefixCacheStats)


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Where the batch thread's time for one step went; together the step's seconds.

    A device works on its own between ``dispatch`` and the next ``read``, its forward and its sampling as one:
    they are not told apart. On MLX's CPU backend the dispatch is where most of the work is done.
    """

    plan_seconds: float = 0.0  # choosing rows and memory
    read_seconds: float = 0.0  # building the forward, and waiting for the step before
    dispatch_seconds: float = 0.0  # building the sampling, and handing the step over
    update_seconds: float = 0.0  # taking in the tokens that were read

    @property
    def total_seconds(self) -> float:
        return self.plan_seconds + self.read_seconds + self.dispatch_seconds + self.update_seconds
