"""One sequence in the eyes of the draft model: what it has computed, and how often it was right."""

from __future__ import annotations

from dataclasses import dataclass

_WEIGHT = 0.08  # of the newest proposal


@dataclass(slots=True)
class DraftRow:
    """What a draft proposed is learnt from once the step that verifies it has been read."""

    chance: float  # that a proposal comes true, provided that those before it did
    num_computed: int = 0  # of the sequence's tokens, whose KV the draft model has
    _num_known: int = 0  # when it last drafted
    num_proposed: int = 0  # then; 0: all are learnt from

    def gain(self, num_proposals: int) -> float:
        """How many of so many proposals can be expected to come true."""
        p = self.chance
        return num_proposals if p >= 1 else p * (1 - p**num_proposals) / (1 - p)

    def prefill(self, num_tokens: int) -> None:
        """It computes so many further tokens."""
        self.num_computed += num_tokens

    def draft(self, num_known: int, num_proposals: int) -> None:
        """It computes all that is known and proposes so many; the proposals too, but for the last."""
        self.num_computed = self._num_known = num_known
        self.num_proposed = num_proposals

    def learn(self, num_known: int) -> int:
        """Learns from what came true; returns how many did. ``num_known``: tokens that were read by now."""
        if not self.num_proposed or num_known == self._num_known:
            return 0
        num_right = min(num_known - self._num_known - 1, self.num_proposed)
        for _ in range(num_right):
            self._record(1.0)
        if num_right < self.num_proposed:
            self._record(0.0)
        self.num_computed = self._num_known + min(num_right, self.num_proposed - 1)
        self.num_proposed = 0
        return num_right

    def _record(self, outcome: float) -> None:
        self.chance += _WEIGHT * (outcome - self.chance)
