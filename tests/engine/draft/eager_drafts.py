"""A scheduler that drafts whether or not it pays, over tiny random models."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

from api.engine.device.platform import Platform
from api.engine.draft.model_drafter import ModelDrafter, Vocabularies
from api.engine.draft.row import DraftRow
from api.engine.forward.choosing.choose import ChosenForward
from api.engine.memory.account import KVMemory
from api.engine.memory.prefix_cache import NoPrefixCache
from api.engine.memory.sequence_memory import SequenceMemory
from api.engine.memory.slots import SlotPool
from api.engine.sampling.sampler import Sampler
from api.engine.scheduling.scheduler import Scheduler
from api.engine.sequences.sequence import Sequence
from api.engine.speculation.speculation import NoSpeculation, Speculation, room_for_proposals
from api.generator import BatchGenerator
from api.step_plan import DRAFTED, Draft
from tests.engine.factories import Loop, create_budget
from tests.engine.tiny_models import VOCAB_SIZE


@dataclass
class EagerDrafts(NoSpeculation):
    """Drafts at random, whether or not it pays."""

    draw: random.Random = field(default_factory=lambda: random.Random(0))
    num_proposed_tokens: int = 0
    num_accepted_tokens: int = 0
    rows: dict[int, DraftRow] = field(default_factory=dict)
    drafting: list[Sequence] = field(default_factory=list)

    def reads_first(self, decoding: list[Sequence]) -> bool:
        if any(sequence.proposals for sequence in decoding):
            return True
        for sequence in decoding:
            self.row(sequence).learn(len(sequence.token_ids))
        return any(s.num_in_flight for s in decoding) and self.draw.random() < 0.7

    def propose(self, decoding: list[Sequence]) -> None:
        if any(sequence.num_in_flight for sequence in decoding):
            return
        for sequence in decoding:
            room = min(room_for_proposals(sequence), self.draw.randint(0, 4))
            if room and not sequence.sampling.needs_state:
                sequence.propose((DRAFTED,) * room)
                self.num_proposed_tokens += room
                self.drafting.append(sequence)

    def take_drafts(self) -> tuple[Draft, ...]:
        drafting, self.drafting = self.drafting, []
        return tuple(map(self._draft, drafting))

    def _draft(self, sequence: Sequence) -> Draft:
        row, slot = self.row(sequence), sequence.slot
        start, tokens = row.num_computed, tuple(sequence.token_ids[row.num_computed :])
        row.draft(len(sequence.token_ids), len(sequence.proposals))
        assert slot is not None
        return Draft(sequence.sequence_id, slot, start, tokens, len(sequence.proposals))

    def row(self, sequence: Sequence) -> DraftRow:
        return self.rows.setdefault(sequence.sequence_id, DraftRow(1.0))

    def accept(self, sequence_id: int) -> None:
        self.num_accepted_tokens += 1

    def forget(self, sequence_id: int) -> None:
        self.rows.pop(sequence_id, None)


def create_drafter(chosen: ChosenForward, on: Platform, num_shared: int = VOCAB_SIZE) -> ModelDrafter:
    return ModelDrafter(chosen.forward, Sampler(on), Vocabularies(num_shared, VOCAB_SIZE, VOCAB_SIZE))


def create_loop(
    chosen: ChosenForward,
    on: Platform,
    speculation: Speculation | None,
    drafter: ModelDrafter | None,
    budget_tokens: int = 4096,
) -> Loop[BatchGenerator]:
    token_bytes = chosen.slot_bytes(1)
    slots = SlotPool(KVMemory(budget_tokens * token_bytes), context_length=512, slot_bytes=chosen.slot_bytes)
    memory = SequenceMemory(slots, NoPrefixCache())
    hundredths = itertools.count()  # time passes, the same for every step
    made = Scheduler(memory, create_budget(40), 8, lambda: next(hundredths) / 100, speculation)
    return Loop(made, memory, BatchGenerator(chosen.forward, Sampler(on), drafter=drafter))
