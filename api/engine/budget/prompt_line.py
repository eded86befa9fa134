"""What waits for its prefill, and how long it has waited."""

from __future__ import annotations

from dataclasses import dataclass

# A prompt is prefilled over so many steps where it matters to the running streams: one much slower step for
# each newcomer is what their slowest tokens are made of.
_NUM_STEPS = 3
# Prompts that come in more slowly than answers end are prefilled within so many steps, or the batch empties.
_NUM_LATE_STEPS = 10


@dataclass(frozen=True, slots=True)
class PromptLine:
    """The prompts that are in the batch and not prefilled yet."""

    num_tokens: tuple[int, ...]  # of each, as it came: those that are prefilled by now included
    # The longest wait, as a multiple of what the prompt's prefill may take beside the running streams.
    lateness: float = 0.0

    @property
    def num_rows(self) -> int:
        """How many a step should prefill."""
        return -(-sum(self.num_tokens) // _NUM_STEPS)

    def num_late_rows(self, most_of_one: int) -> float:
        """How many a step should prefill to empty the line, where none alone asks for more than so many."""
        return sum(min(num_tokens / _NUM_LATE_STEPS, most_of_one) for num_tokens in self.num_tokens)
