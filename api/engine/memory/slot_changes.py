"""What the next plan does to slots and blocks before its rows run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from api.step_plan import BlockLoad, BlockSave, Slot, SlotMove


@dataclass(slots=True)
class SlotChanges:
    """In the order in which the forward makes them: saves, compactions, loads, moves."""

    saves: list[BlockSave] = field(default_factory=list)
    compactions: list[SlotMove] = field(default_factory=list)
    loads: list[BlockLoad] = field(default_factory=list)
    moves: list[SlotMove] = field(default_factory=list)

    def fills(self, slot: Slot | None) -> bool:
        """Whether the slot gets its contents by this plan only, behind its compactions."""
        return slot in [load.slot for load in self.loads] + [move.target for move in self.moves]

    def reads(self, slot: Slot) -> bool:
        """Whether something is copied out of it once the compactions are done."""
        return any(move.source == slot for move in self.moves)

    def compact(self, old: Slot, new: Slot, num_tokens: int) -> None:
        """The sequence in ``old``, with so many tokens, lies in ``new`` from the beginning of the plan."""
        if self.fills(old):
            self.loads = [replace(load, slot=_renamed(load.slot, old, new)) for load in self.loads]
            self.moves = [replace(move, target=_renamed(move.target, old, new)) for move in self.moves]
        elif any(move.target == old for move in self.compactions):
            self.compactions = [
                replace(move, target=_renamed(move.target, old, new)) for move in self.compactions
            ]
        elif num_tokens:
            self.compactions.append(SlotMove(old, new, num_tokens))
        self.moves = [replace(move, source=_renamed(move.source, old, new)) for move in self.moves]

    def forget(self, slot: Slot) -> None:
        """Nobody has the slot any more: it is not to be filled."""
        self.compactions = [move for move in self.compactions if move.target != slot]
        self.moves = [move for move in self.moves if move.target != slot]
        self.loads = [load for load in self.loads if load.slot != slot]


def _renamed(slot: Slot, old: Slot, new: Slot) -> Slot:
    return new if slot == old else slot
