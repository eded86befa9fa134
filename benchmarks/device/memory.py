"""What MLX says that it holds, against what the engine believes."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import mlx.core as mx

from api.assembly.memory import estimate_needs
from api.config import EngineConfig
from api.engine.device.platform import detect_platform
from api.stats import SchedulerStats
from benchmarks.device.findings import Finding, Verdict
from benchmarks.device.measured_sizes import measured_sizes
from benchmarks.device.parts import Context
from benchmarks.device.runners import EngineRunner
from benchmarks.device.subject import Subject, load_subject

_NUM_CHATS = 8
_NUM_ANSWER_TOKENS = 40
# MLX rounds each buffer up to pages, and the newest step's small arrays are still there.
_SMALL_CHANGE_BYTES = 4 * 1024**2
_SMALL_SHARE = 0.02


@dataclass(slots=True)
class Looks:
    """Between two steps, at the moment when the account was largest."""

    active_bytes: int = 0
    account_bytes: int = 0


def run(context: Context) -> None:
    before_bytes = active_bytes()  # nothing in a process of its own
    subject = load_subject(context.model)
    sizes = measured_sizes(subject, context)
    del subject.plain  # it holds the same arrays, and the constants of its own
    loaded_bytes = active_bytes()
    context.log.add(compare_bytes("weights", loaded_bytes - before_bytes, subject.loaded.weight_bytes))
    mx.reset_peak_memory()
    looks = _run_chats(subject, sizes.chat)
    context.log.add(
        compare_bytes("eight chats, at their largest", looks.active_bytes - loaded_bytes, looks.account_bytes)
    )
    context.log.add(_transient(subject, mx.get_peak_memory() - loaded_bytes - looks.account_bytes))
    held_bytes = active_bytes() - loaded_bytes
    kept = subject.engine.scheduler.stats()
    context.log.add(compare_bytes("what is kept when all have left", held_bytes, account_of(kept)))
    context.log.note("kv_budget_bytes", kept.kv_budget_bytes)


def _run_chats(subject: Subject, num_tokens: int) -> Looks:
    runner, looks = EngineRunner(subject.engine, uses_prefix_cache=True), Looks()
    for seed in range(_NUM_CHATS):
        runner.add(subject.draw_prompt(num_tokens, seed), _NUM_ANSWER_TOKENS)
    while runner.has_work:
        runner.step()
        _look(subject, looks)
    return looks


def _look(subject: Subject, looks: Looks) -> None:
    """The step under way would blur it: it is waited for."""
    mx.synchronize()
    account = account_of(subject.engine.scheduler.stats())
    if account >= looks.account_bytes:
        looks.account_bytes, looks.active_bytes = account, mx.get_active_memory()


def account_of(stats: SchedulerStats) -> int:
    return stats.kv_reserved_bytes + stats.prefix_cache.used_bytes


def active_bytes() -> int:
    gc.collect()
    mx.synchronize()
    return int(mx.get_active_memory())


def compare_bytes(name: str, found_bytes: int, account_bytes: int) -> Finding:
    """MLX may hold a little more than the account says, or anything less: the account reserves."""
    allowed = _SMALL_CHANGE_BYTES + _SMALL_SHARE * account_bytes
    verdict = Verdict.PASS if found_bytes <= account_bytes + allowed else Verdict.FAIL
    ratio = found_bytes / account_bytes if account_bytes else None
    return Finding(
        name, verdict, found_bytes / 1e6, "MB", account_bytes / 1e6, ratio, f"<= {1 + _SMALL_SHARE} and 4 MB"
    )


def _transient(subject: Subject, found_bytes: int) -> Finding:
    """What steps took beside all that, against what is kept free for them."""
    engine = EngineConfig()
    platform = detect_platform()
    needs = estimate_needs(
        engine,
        subject.loaded,
        platform,
        platform.max_step_tokens,
        int(subject.loaded.config["vocab_size"]),
    )
    ratio = found_bytes / needs.step_bytes
    return Finding(
        "beside them while steps ran",
        Verdict.PASS if ratio <= 1 else Verdict.FAIL,
        found_bytes / 1e6,
        "MB",
        needs.step_bytes / 1e6,
        ratio,
        "<= 1",
    )
