"""What the scheduler says of itself, memory and speculation included."""

from __future__ import annotations

from itertools import islice

from api.engine.memory.sequence_memory import SequenceMemory
from api.engine.scheduling.admission import Admission
from api.engine.sequences.sequence import Sequence
from api.engine.speculation.speculation import Speculation
from api.stats import RunningChat, SchedulerStats

MAX_LISTED_CHATS = 64  # a snapshot costs the batch thread the same, however large the batch is


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
        running_chats=tuple(map(running_chat, islice(batch.running.values(), MAX_LISTED_CHATS))),
    )


def running_chat(sequence: Sequence) -> RunningChat:
    return RunningChat(
        num_prompt_tokens=sequence.num_prompt_tokens,
        num_prefilled_tokens=min(sequence.num_computed, sequence.num_prompt_tokens),
        num_cached_tokens=sequence.num_cached_tokens,
        num_output_tokens=len(sequence.token_ids) - sequence.num_prompt_tokens,
        max_output_tokens=sequence.max_tokens,
        slot_tokens=sequence.slot.capacity if sequence.slot else 0,
    )
