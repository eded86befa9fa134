"""The recurrent state of all sequences: rows that ran together stay together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import mlx.core as mx

from api.engine.device.host_arrays import HostArray
from api.engine.forward.kv.host_copy import to_device, to_host
from api.step_plan import BlockSave, Slot, StepPlan

# One array for each entry of each recurrent cache, ``[rows, ...]``; None where the model left one empty.
State = list[mx.array | None]


class StateStore:
    """State by slot, and the copies that are cached with blocks.

    The rows of the last decode step lie in one array per entry, in the order of that step. While the same
    sequences decode, nothing is gathered or scattered: the next step takes the arrays as they are.
    No array is ever written in place, so a state can be shared between a block and a slot.
    """

    def __init__(self, num_entries: int) -> None:
        self._num_entries = num_entries
        self._rows: State = []
        self._row_slots: list[Slot | None] = []  # None: that row belongs to nobody any more
        self._alone: dict[Slot, State] = {}  # prompts that are being prefilled, and what was loaded
        self._slots: dict[int, Slot] = {}  # sequence id -> where its state is
        self._cached: dict[int, State] = {}  # block id -> the state after the block's last token
        self._set_entries: list[bool] = []  # those that cached states have
        self._pending_saves: list[mx.array] = []  # saved, not computed yet

    # --- plans -----------------------------------------------------------------------------------

    def apply(self, plan: StepPlan) -> None:
        """Drops and saves states, forgets what was released, moves and loads states.

        A released slot is forgotten only now: like its KV, its state may be saved as its sequence leaves.
        """
        self.drop(plan.evicted_blocks)
        for save in plan.saves:
            self._save(save)
        for sequence_id in plan.released:
            self._forget(self._slots.pop(sequence_id, None))
        for move in (*plan.compactions, *plan.moves):
            self._move(move.source, move.target)
        for load in plan.loads:
            self._forget(load.slot)
            self._alone[load.slot] = list(self._cached[load.block_ids[-1]])
        self._slots.update({span.sequence_id: span.slot for span in plan.spans})

    def compute_saves(self) -> None:
        """Computes what the last plan saved, so that it holds no longer what it was taken from."""
        if self._pending_saves:
            mx.eval(self._pending_saves)
            self._pending_saves = []

    # --- blocks ----------------------------------------------------------------------------------

    def drop(self, block_ids: Iterable[int]) -> None:
        for block_id in block_ids:
            self._cached.pop(block_id, None)

    def export(self, block_id: int) -> list[HostArray]:
        """A copy of the state cached with a block, [] where there is none."""
        return [to_host(array) for array in self._cached.get(block_id, []) if array is not None]

    def insert(self, block_id: int, arrays: Iterable[HostArray]) -> None:
        """A state that this store, or that of another process with the same model, has exported.

        Some state was saved here before, which told which entries the model leaves empty.
        """
        given = iter(arrays)
        state = [to_device(next(given)) if is_set else None for is_set in self._set_entries]
        mx.eval([array for array in state if array is not None])
        self._cached[block_id] = state

    @property
    def cached_bytes(self) -> int:
        """Bytes of the states cached with blocks."""
        return sum(array.nbytes for state in self._cached.values() for array in state if array is not None)

    # --- steps -----------------------------------------------------------------------------------

    def take(self, slot: Slot) -> State:
        """One row. Raises KeyError where the slot has no state."""
        if not self._num_entries:
            return []
        if slot in self._alone:
            return self._alone[slot]
        if slot not in self._row_slots:
            raise KeyError(slot)
        return _take_rows(self._rows, [self._row_slots.index(slot)])

    def put(self, slot: Slot, state: State) -> None:
        """One row, copied: a model may hand over a small part of a large array."""
        self._forget(slot)
        self._alone[slot] = _take_rows(state, [0])

    def take_rows(self, slots: Sequence[Slot]) -> State:
        """One row for each slot. Raises KeyError where one has no state."""
        if self._row_slots != list(slots):
            self._arrange(slots)
        return self._rows

    def alike(self, slots: Sequence[Slot]) -> set[Slot]:
        """Those that can be rows together: states of some kinds grow over a sequence's first tokens.

        Among them are the rows of the last step, or else the first slot.
        """
        new = [slot for slot in slots if slot in self._alone]
        if not new:
            return set(slots)
        known = next((slot for slot in slots if slot not in self._alone), slots[0])
        wanted = self._shapes(known)
        return {slot for slot in slots if slot not in self._alone or self._shapes(slot) == wanted}

    def put_rows(self, state: State) -> None:
        """The rows that the last ``take_rows`` gave, one token later."""
        self._rows = state

    def empty(self) -> State:
        """What a sequence starts from."""
        return [None] * self._num_entries

    # --- all of it -------------------------------------------------------------------------------

    def arrays(self) -> list[mx.array]:
        states = [self._rows, *self._alone.values()]
        return [array for state in states for array in state if array is not None]

    def clear(self) -> None:
        self._rows, self._row_slots = [], []
        self._alone.clear()
        self._slots.clear()
        self._cached.clear()
        self._pending_saves = []

    def _shapes(self, slot: Slot) -> list[tuple[int, ...] | None]:
        state = self._alone.get(slot, self._rows)
        return [None if array is None else array.shape[1:] for array in state]

    def _save(self, save: BlockSave) -> None:
        if save.with_state:
            state = _take_rows(self.take(save.slot), [0])
            self._set_entries = [array is not None for array in state]
            self._cached[save.block_id] = state
            self._pending_saves += [array for array in state if array is not None]

    def _move(self, source: Slot, target: Slot) -> None:
        """The state of one sequence goes along; nobody else has it. Without any, slots may be copied too."""
        if not self._num_entries:
            return
        self._forget(target)
        if source in self._alone:
            self._alone[target] = self._alone.pop(source)
        self._row_slots = [target if slot == source else slot for slot in self._row_slots]
        self._slots = {i: target if slot == source else slot for i, slot in self._slots.items()}

    def _forget(self, slot: Slot | None) -> None:
        if slot is None:
            return
        self._alone.pop(slot, None)
        self._row_slots = [None if each == slot else each for each in self._row_slots]
        if not any(self._row_slots):
            self._rows, self._row_slots = [], []

    def _arrange(self, slots: Sequence[Slot]) -> None:
        """Makes ``slots`` the rows, in this order; a row that is not among them stays, alone."""
        if not self._num_entries:
            self._row_slots = list(slots)
            return
        for slot in self._row_slots:
            if slot is not None and slot not in slots:
                self._alone[slot] = self.take(slot)
        staying = [slot for slot in slots if slot in self._row_slots]
        new = [slot for slot in slots if slot not in self._row_slots]
        parts = [_take_rows(self._rows, [self._row_slots.index(slot) for slot in staying])] if staying else []
        parts += [self._alone.pop(slot) for slot in new]
        joined = _join(parts, self._num_entries)
        order = [[*staying, *new].index(slot) for slot in slots]
        self._rows = joined if order == list(range(len(order))) else _take_rows(joined, order)
        self._row_slots = list(slots)


def _take_rows(state: State, rows: Iterable[int]) -> State:
    """Copies of some rows; they hold no part of the arrays that they come from."""
    index = mx.array(list(rows), dtype=mx.int32)
    return [None if array is None else mx.take(array, index, axis=0) for array in state]


def _join(parts: list[State], num_entries: int) -> State:
    """Raises ValueError where the states are not of one shape."""
    if len(parts) == 1:
        return parts[0]
    entries = [[part[entry] for part in parts] for entry in range(num_entries)]
    return [_concatenated(entry) for entry in entries]


def _concatenated(arrays: list[mx.array | None]) -> mx.array | None:
    present = [array for array in arrays if array is not None]
    if len(present) not in (0, len(arrays)):
        raise ValueError("some sequences have a state that others have not")
    return mx.concatenate(present) if present else None
