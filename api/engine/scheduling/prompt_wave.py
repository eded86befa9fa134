"""Prompts that come together while nobody decodes begin their answers together.

Were the first of them to decode at once, all others would be prefilled beside it, in small chunks so as not
to hold it up: the batch would fill slowly, and each chunk would be a slow token of somebody. So those that
are prefilled wait until the others are, too; as long as that is soon. The earlier ones have their first token
by then, the later ones wait with their prompt's last, which makes it.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass

from api.engine.budget.step_budget import StepBudget
from api.engine.sequences.sequence import Sequence

# Both in decode steps of all of them. Nobody waits longer for the others.
_MOST_STEPS = 48
# Who is prefilled so long before the wave's end gets the first token then, and waits for the second. For the
# later ones the first token would be little earlier, and the wait a slow token more.
_EARLY_STEPS = 12
# Where nobody decodes, the next prompt is waited for so long: a part of the shortest one's prefill.
_PAUSE_SHARE = 0.04
_MOST_PAUSE_TOKENS = 256  # of it: what is more may be in the prefix cache
_MOST_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Waits:
    """Who does nothing in the next step, though it could."""

    decoding: bool = False  # all that decode: they are of the wave
    last_token_ids: frozenset[int] = frozenset()  # sequences whose prompt's last token waits


class PromptWave:
    """Asked before each step, by the scheduler."""

    def __init__(self, budget: StepBudget) -> None:
        self._budget = budget
        self._begun_ids: frozenset[int] = frozenset()  # of the wave, those that got their first token

    def waits(self, decoding: Items[Sequence], prefilling: Items[Sequence], now_seconds: float) -> Waits:
        """``prefilling`` is in order. Streams that were there before the wave wait for nobody."""
        if any(sequence.sequence_id not in self._begun_ids for sequence in decoding):
            self._begun_ids = frozenset()
            return Waits()
        wave = self._prompts(decoding, prefilling, now_seconds)
        if not wave:  # it has ended: whoever comes now finds streams that were there before
            self._begun_ids = frozenset()
            return Waits()
        early = self._early(len(decoding), wave)
        self._begun_ids = frozenset(s.sequence_id for s in (*decoding, *early))
        return Waits(bool(decoding), self._last_token_ids(wave) - self._begun_ids)

    def _prompts(
        self, decoding: Items[Sequence], prefilling: Items[Sequence], now_seconds: float
    ) -> list[Sequence]:
        """Those that are to end together; none where each goes for itself."""
        # A prompt that is scored takes many steps. One that catches up with its answer would decode.
        able = [s for s in prefilling if not s.is_scoring and not s.num_sampled]
        number = len(decoding) + len(able)
        if not able or number < 2:
            return []
        left_seconds = _MOST_STEPS * self._budget.plain_seconds(number)
        left_seconds -= now_seconds - min(s.admitted_seconds for s in (*decoding, *able))
        wave: list[Sequence] = []
        for sequence in able:
            left_seconds -= self._budget.prefill_seconds(sequence.num_remaining)
            if left_seconds < 0:
                break
            wave.append(sequence)
        return wave if len(decoding) + len(wave) > 1 else []

    def _early(self, num_decoding: int, wave: Items[Sequence]) -> Items[Sequence]:
        """Those of ``wave`` that are prefilled long before the last of them."""
        least_seconds = _EARLY_STEPS * self._budget.plain_seconds(num_decoding + len(wave))
        left_seconds = sum(self._budget.prefill_seconds(sequence.num_remaining) for sequence in wave)
        early = []
        for sequence in wave:
            left_seconds -= self._budget.prefill_seconds(sequence.num_remaining)
            if left_seconds < least_seconds:
                break
            early.append(sequence)
        return early

    def _last_token_ids(self, wave: Items[Sequence]) -> frozenset[int]:
        """Of all, unless the next step can prefill what is left."""
        num_remaining = sum(sequence.num_remaining for sequence in wave)
        if num_remaining <= max(self._budget.max_step_tokens, len(wave)):
            return frozenset()
        return frozenset(sequence.sequence_id for sequence in wave)


def pause_seconds(waiting: Items[Sequence], budget: StepBudget) -> float:
    """How long to wait for a further prompt before the first of ``waiting`` is prefilled; 0 for none."""
    num_tokens = min((sequence.num_known for sequence in waiting), default=0)
    seconds = budget.prefill_seconds(min(num_tokens, _MOST_PAUSE_TOKENS))
    return min(_PAUSE_SHARE * seconds, _MOST_PAUSE_SECONDS)
