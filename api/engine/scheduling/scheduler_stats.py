"""What the scheduler says of itself, memory and speculation included."""

from __future__ import annotations

from api.engine.memory.sequence_memory import SequenceMemory
from api.engine.speculation.speculation import Speculation
from api.stats import SchedulerStats


def scheduler_stats(
    num_running: int,
    num_waiting: int,
    num_preemptions: int,
    memory: SequenceMemory,
    speculation: Speculation,
) -> SchedulerStats:
    return SchedulerStats(
        num_running=num_running,
        num_waiting=num_waiting,
        kv_used_bytes=memory.slots.used_bytes,
        kv_reserved_bytes=memory.slots.reserved_bytes,
        kv_budget_bytes=memory.slots.budget_bytes,
        num_preemptions=num_preemptions,
        num_proposed_tokens=speculation.num_proposed_tokens,
        num_accepted_tokens=speculation.num_accepted_tokens,
        num_drafted_tokens=speculation.num_drafted_tokens,
        num_accepted_drafts=speculation.num_accepted_drafts,
        prefix_cache=memory.prefixes.stats(),
    )
