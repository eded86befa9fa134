"""What the scheduler says of itself, memory and speculation included."""

from __future__ import annotations

from api.engine.memory.sequence_memory import SequenceMemory
from api.engine.scheduling.admission import Admission
from api.engine.speculation.speculation import Speculation
from api.stats import SchedulerStats


def scheduler_stats(batch: Admission, memory: SequenceMemory, speculation: Speculation) -> SchedulerStats:
    return SchedulerStats(
        num_running=len(batch.running),
        num_waiting=len(batch.waiting),
        kv_used_bytes=memory.slots.used_bytes,
        kv_reserved_bytes=memory.slots.reserved_bytes,
        kv_budget_bytes=memory.slots.budget_bytes,
        num_preemptions=batch.num_preemptions,
        num_proposed_tokens=speculation.num_proposed_tokens,
        num_accepted_tokens=speculation.num_accepted_tokens,
        num_drafted_tokens=speculation.num_drafted_tokens,
        num_accepted_drafts=speculation.num_accepted_drafts,
        prefix_cache=memory.prefixes.stats(),
    )
