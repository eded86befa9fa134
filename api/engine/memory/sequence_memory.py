"""Where the KV of running sequences lies: each one's slot, what it begins with, what is saved of it."""

from __future__ import annotations

from collections.abc import Container, Iterable

from api.engine.memory.prefix_cache import PrefixCache
from api.engine.memory.slot_changes import SlotChanges
from api.engine.memory.slots import SlotPool
from api.engine.sequences.sequence import Sequence
from api.step_plan import BlockLoad, Slot, SlotMove

# A slot is first taken for the prompt and this much of the answer; longer answers move up.
_FIRST_ANSWER_TOKENS = 128
# A sequence that moves up takes this many times what it has, where its answer may become so long.
_GROWTH = 2
# With nobody waiting, holes are closed where this part of the slots' bytes is in use, at most: each time the
# slots shrink by more than what is copied.
_SPARSE_SHARE = 0.25


class SequenceMemory:
    """Allocates and frees slots; gathers what the forward has to copy for that."""

    def __init__(self, slots: SlotPool, prefixes: PrefixCache, *, can_copy: bool = True) -> None:
        """``can_copy``: a sequence may begin with a copy of another's slot, at any token before its end."""
        self.slots = slots
        self.prefixes = prefixes
        self.can_copy = can_copy
        self._changes = SlotChanges()
        self._owners: dict[Slot, Sequence] = {}
        self._newcomers: list[Sequence] = []  # admitted by the plan under way: their hits are not loaded yet

    def is_awaited(self, sequence: Sequence, active_ids: Container[int]) -> bool:
        """Whether a running sequence is just computing what this one begins with, and need not itself."""
        return not sequence.is_scoring and self.prefixes.is_awaited(sequence, active_ids)

    def admit(self, sequence: Sequence, now_seconds: float, sibling: Sequence | None = None) -> bool:
        """Allocates a slot, and has it begin with a copy or a hit. False where bytes are short."""
        # If the sibling is preempted before its slot is filled by the plan under way, that stays empty.
        if sibling is not None and not self._changes.fills(sibling.slot):
            return self._admit_as_copy(sequence, now_seconds, sibling)
        # Logprobs of its prompt need all of its rows.
        hit = () if sequence.is_scoring else self.prefixes.lookup(sequence)
        is_placed = self._place(sequence, self._first_tokens(sequence))
        if not is_placed and hit:  # there may be room for the slot where the blocks were
            self.prefixes.unpin(hit)
            is_placed = self._place(sequence, self._first_tokens(sequence))
            hit = self.prefixes.lookup(sequence) if is_placed else ()
        if sequence.slot is None:
            return False
        if hit:
            self._changes.loads.append(BlockLoad(tuple(block.block_id for block in hit), sequence.slot))
        num_hit_tokens = sum(len(block.token_ids) for block in hit)
        self.prefixes.track(sequence, hit)
        if not sequence.was_admitted:
            self._newcomers.append(sequence)
        sequence.admit(num_hit_tokens, num_hit_tokens, now_seconds)
        return True

    def _admit_as_copy(self, sequence: Sequence, now_seconds: float, sibling: Sequence) -> bool:
        """All but the prompt's last token, whose logits the sequence needs for itself."""
        if not self._place(sequence, self._first_tokens(sequence)):
            return False
        assert sequence.slot is not None and sibling.slot is not None
        num_tokens = sequence.num_prompt_tokens - 1
        self._changes.moves.append(SlotMove(sibling.slot, sequence.slot, num_tokens))
        sequence.admit(num_tokens, sibling.num_cached_tokens, now_seconds)
        self._track_copy(sequence)
        return True

    def _track_copy(self, sequence: Sequence) -> None:
        """A copy's answer is saved behind its prompt's blocks, where those are: it saves none of them itself,
        since layers with a window no longer have all of their tokens.
        """
        blocks = self.prefixes.lookup(sequence)
        if blocks and sequence.num_computed < sum(len(b.token_ids) for b in (*blocks, blocks[0])):
            self.prefixes.track(sequence, blocks)

    def grow(self, sequence: Sequence) -> bool:
        """Moves a sequence up where its slot is full. False where bytes are short."""
        assert sequence.slot is not None
        if sequence.num_known <= sequence.slot.capacity:
            return True
        return self._place(sequence, self._next_tokens(sequence)) or self._place(sequence, sequence.num_known)

    @property
    def frees_more(self) -> bool:
        """Whether the plan under way gives up slots that the next one may use."""
        return self.slots.has_leaving

    def _place(self, sequence: Sequence, num_tokens: int) -> bool:
        """Gives a sequence a slot for so many tokens, to which its own tokens move. False where bytes are
        short, even with all holes closed.
        """
        self._close_holes(self.slots.missing_bytes(num_tokens))
        new = self.slots.allocate(num_tokens)
        if new is None:
            return False
        old = sequence.slot
        if old is not None:
            self._changes.moves.append(SlotMove(old, new, sequence.num_computed))
            self._free_slot(old)
        sequence.place(new)
        self._owners[new] = sequence
        return True

    def _free_slot(self, slot: Slot) -> None:
        del self._owners[slot]
        self.slots.free(slot, is_read=self._changes.reads(slot))

    def tidy(self) -> None:
        """Gives up what few sequences or none leave unused. For when nobody waits for memory."""
        if not self._owners:
            self.slots.shrink()
        elif self.slots.hole_bytes and self.slots.used_bytes <= _SPARSE_SHARE * self.slots.reserved_bytes:
            self.slots.shrink()
            self._close_holes(self.slots.hole_bytes)

    def _close_holes(self, missing_bytes: int) -> None:
        """Moves sequences together where that gives so many bytes, what blocks could give included."""
        if not 0 < missing_bytes <= self.slots.hole_bytes + self.prefixes.stats().used_bytes:
            return
        for old, new in self.slots.close_holes(missing_bytes):
            sequence = self._owners[new] = self._owners.pop(old)
            sequence.place(new)
            # What is being verified counts as computed as soon as it comes true.
            num_written = min(sequence.num_computed + len(sequence.proposals), old.capacity)
            self._changes.compact(old, new, num_written)

    def save(self, sequences: Iterable[Sequence]) -> None:
        """Saves blocks of what these have computed, before the next plan changes any slot."""
        for sequence in sequences:
            self._changes.saves += self.prefixes.save(sequence)

    def tokens_to_stop(self, sequence: Sequence) -> int:
        """Tokens that its next chunk may have, for the state behind them to be saved."""
        stop = self.prefixes.next_stop(sequence)
        return sequence.num_remaining if stop is None else stop - sequence.num_computed

    def free(self, sequence: Sequence, *, saves: bool) -> None:
        """Takes the slot back. ``saves``: what it holds is saved first, so never while a plan is made."""
        slot = sequence.slot
        if slot is not None:
            if saves:
                self._changes.saves += self.prefixes.save(sequence, is_leaving=True)
            self._changes.forget(slot)
            self._free_slot(slot)
        if sequence in self._newcomers:  # it goes before its first plan was made: the hit was none
            self._newcomers.remove(sequence)
            sequence.withdraw()
        self.prefixes.untrack(sequence)

    def take_changes(self) -> SlotChanges:
        """For the plan that is made now."""
        changes, self._changes = self._changes, SlotChanges()
        self.slots.finish_plan()
        for sequence in self._newcomers:
            self.prefixes.count_hit(sequence)
        self._newcomers.clear()
        return changes

    def clear(self) -> None:
        """The device's memory is lost: nothing is to be copied any more, and no block holds anything."""
        self._changes = SlotChanges()
        self.prefixes.clear()

    def _first_tokens(self, sequence: Sequence) -> int:
        answer = min(sequence.max_tokens - sequence.num_sampled, _FIRST_ANSWER_TOKENS)
        return min(sequence.num_known + answer, self.slots.max_sequence_tokens)

    def _next_tokens(self, sequence: Sequence) -> int:
        """Room for the rest of the answer, but not more than a doubling."""
        at_most = min(
            sequence.num_prompt_tokens + sequence.max_tokens,
            _GROWTH * sequence.num_known,
            self.slots.max_sequence_tokens,
        )
        return max(sequence.num_known, at_most)
