"""Prompts that come together while nobody decodes begin their answers together.

Were the first of them to decode at once, all others would be read beside it, in small chunks so as not to
hold it up: the batch would fill slowly, and each chunk would be a slow token of somebody. So those that are
read wait with their last token, which makes the first of their answer, until the others are read too; as
long as that is soon.
"""

from __future__ import annotations

from collections.abc import Sequence as Items

from api.engine.sequence import Sequence
from api.engine.step_budget import StepBudget

# In decode steps of all of them: nobody's first token comes later for the sake of the others by more.
_MOST_STEPS = 24


def prompts_of_wave(reading: Items[Sequence], budget: StepBudget, now_seconds: float) -> Items[Sequence]:
    """Those of ``reading``, which is in order, that are to end together; [] where each goes for itself.

    Call while nobody decodes.
    """
    # A prompt that is scored takes many steps. One that has answered before, and catches up, would decode.
    able = [sequence for sequence in reading if not sequence.is_scoring and not sequence.num_sampled]
    if len(able) < 2:
        return ()
    waited_seconds = now_seconds - min(sequence.admitted_seconds for sequence in able)
    left_seconds = _MOST_STEPS * budget.plain_seconds(len(able)) - waited_seconds
    wave = []
    for sequence in able:
        left_seconds -= budget.read_seconds(sequence.num_remaining)
        if left_seconds < 0:
            break
        wave.append(sequence)
    return wave if len(wave) > 1 else ()
