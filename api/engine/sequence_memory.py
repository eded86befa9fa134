"""Where the KV of running sequences lies: each one's slot, what it begins with, what is kept of it."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from api.engine.kv_slots import SlotPool
from api.engine.prefix_cache import PrefixCache
from api.engine.sequence import Sequence
from api.types import BlockLoad, BlockSave, SlotMove

# A slot is first taken for the prompt and this much of the answer; longer answers move up.
_FIRST_ANSWER_TOKENS = 128
# A sequence that moves up takes this many times what it has, where its answer may become so long.
_GROWTH = 2


@dataclass(slots=True)
class _Changes:
    """What the next plan does to slots and blocks before its rows run."""

    saves: list[BlockSave] = field(default_factory=list)
    moves: list[SlotMove] = field(default_factory=list)
    loads: list[BlockLoad] = field(default_factory=list)


class SequenceMemory:
    """Gives slots and takes them back; gathers what the forward has to copy for that."""

    def __init__(self, slots: SlotPool, prefixes: PrefixCache, *, can_copy: bool = True) -> None:
        """``can_copy``: a sequence may begin with a copy of another's slot, at any token before its end."""
        self.slots = slots
        self.prefixes = prefixes
        self.can_copy = can_copy
        self._changes = _Changes()

    def is_awaited(self, sequence: Sequence, active_ids: Container[int]) -> bool:
        """Whether a running sequence is just reading what this one begins with, and need not itself."""
        return not sequence.is_scoring and self.prefixes.is_awaited(sequence, active_ids)

    def enter(self, sequence: Sequence, sibling: Sequence | None = None) -> bool:
        """Takes a slot and fills in what is known of the prefix. False where bytes are short."""
        if sibling is not None and not self._is_to_be_filled(sibling):
            return self._enter_as_copy(sequence, sibling)
        # Logprobs of its prompt need all of its rows.
        hit = () if sequence.is_scoring else self.prefixes.lookup(sequence)
        sequence.slot = self.slots.allocate(self._first_tokens(sequence))
        if sequence.slot is None and hit:  # there may be room for the slot where the blocks were
            self.prefixes.unpin(hit)
            sequence.slot = self.slots.allocate(self._first_tokens(sequence))
            hit = self.prefixes.lookup(sequence) if sequence.slot else ()
        if sequence.slot is None:
            return False
        if hit:
            self._changes.loads.append(BlockLoad(tuple(block.block_id for block in hit), sequence.slot))
        num_hit_tokens = sum(len(block.token_ids) for block in hit)
        self.prefixes.begin(sequence, hit)
        self._begin(sequence, num_hit_tokens, num_hit_tokens)
        return True

    def _is_to_be_filled(self, sequence: Sequence) -> bool:
        """By the plan under way: if the sequence is preempted before that is out, its slot stays empty."""
        filled = [load.slot for load in self._changes.loads] + [move.target for move in self._changes.moves]
        return sequence.slot in filled

    def _enter_as_copy(self, sequence: Sequence, sibling: Sequence) -> bool:
        """All but the prompt's last token, whose logits the sequence needs for itself."""
        sequence.slot = self.slots.allocate(self._first_tokens(sequence))
        if sequence.slot is None:
            return False
        assert sibling.slot is not None
        num_tokens = sequence.num_prompt_tokens - 1
        self._changes.moves.append(SlotMove(sibling.slot, sequence.slot, num_tokens))
        self._begin(sequence, num_tokens, sibling.num_cached_tokens)
        self._follow_prompt(sequence)
        return True

    def _follow_prompt(self, sequence: Sequence) -> None:
        """A copy's answer is kept behind its prompt's blocks, where those are: it saves none of them itself,
        since layers with a window no longer have all of their tokens.
        """
        blocks = self.prefixes.lookup(sequence)
        if blocks and sequence.num_computed < sum(len(b.token_ids) for b in (*blocks, blocks[0])):
            self.prefixes.begin(sequence, blocks)

    def _begin(self, sequence: Sequence, num_copied: int, num_cached_tokens: int) -> None:
        sequence.num_computed = sequence.num_copied = num_copied
        if not sequence.was_admitted:
            sequence.num_cached_tokens = num_cached_tokens
        sequence.was_admitted = True

    def grow(self, sequence: Sequence) -> bool:
        """Moves a sequence up where its slot is full. False where bytes are short."""
        assert sequence.slot is not None
        if sequence.num_known <= sequence.slot.capacity:
            return True
        target = self.slots.allocate(self._next_tokens(sequence)) or self.slots.allocate(sequence.num_known)
        if target is None:
            return False
        self._changes.moves.append(SlotMove(sequence.slot, target, sequence.num_computed))
        self.slots.release(sequence.slot)
        sequence.slot = target
        return True

    def keep(self, sequences: Iterable[Sequence]) -> None:
        """Saves what these have computed, before the next plan changes any slot."""
        for sequence in sequences:
            self._changes.saves += self.prefixes.keep(sequence)

    def tokens_to_stop(self, sequence: Sequence) -> int:
        """Tokens that its next chunk may have, for the state behind them to be kept."""
        stop = self.prefixes.next_stop(sequence)
        return sequence.num_remaining if stop is None else stop - sequence.num_computed

    def leave(self, sequence: Sequence, *, is_kept: bool) -> None:
        """Takes the slot back. ``is_kept``: what it holds is saved first, so never while a plan is made."""
        slot = sequence.slot
        if slot is not None:
            if is_kept:
                self._changes.saves += self.prefixes.keep(sequence, is_leaving=True)
            self._changes.moves = [move for move in self._changes.moves if move.target != slot]
            self._changes.loads = [load for load in self._changes.loads if load.slot != slot]
            self.slots.release(slot)
        self.prefixes.end(sequence)

    def take_changes(self) -> _Changes:
        """For the plan that is made now."""
        changes, self._changes = self._changes, _Changes()
        return changes

    def clear(self) -> None:
        """The device's memory is lost: nothing is to be copied any more, and no block holds anything."""
        self._changes = _Changes()
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
