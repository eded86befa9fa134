"""Gives a loaded model the fastest forward that reproduces it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

from api.config import ForwardChoice
from api.engine.forward.attention import choose_attention
from api.engine.forward.backbone import select_backbone_rows
from api.engine.forward.caches import attention_windows, make_caches
from api.engine.forward.flat import FlatForward
from api.engine.forward.interface import Forward
from api.engine.forward.padded import PaddedForward
from api.engine.forward.self_check import SelfCheckError, check_forward
from api.engine.platform import Platform
from api.errors import StartupError
from api.types import SamplingParams, Slot, Span, StepPlan

_PROBE_TOKENS = 8
_CACHE_STEP_TOKENS = 256  # mlx-lm's caches grow by this much


@dataclass(frozen=True, slots=True)
class ChosenForward:
    """A forward that passed its check, and what its state takes."""

    forward: Forward
    slot_bytes: Callable[[int], int]  # tokens of one sequence -> bytes
    can_copy: bool = False  # its KV lies in the plan's slots, so ``SlotMove`` means something to it


def choose_forward(
    model: nn.Module,
    platform: Platform,
    vocab_size: int,
    max_step_tokens: int,
    choice: ForwardChoice,
    report: Callable[[str], None],
) -> ChosenForward:
    """Flat where the self-check and ``choice`` allow it; tells ``report`` which, and why not.

    Raises StartupError when ``choice`` demands a flat step that the model cannot run.
    """
    if choice != "padded":
        try:
            flat = _flat(model, platform, vocab_size, max_step_tokens)
        except SelfCheckError as error:
            if choice == "flat":
                raise StartupError(f"--forward flat: the model cannot run the flat step: {error}") from error
            report(f"Forward: not flat ({error})")
        else:
            report("Forward: flat (self-check: equal to the plain model)")
            return ChosenForward(flat, _flat_slot_bytes(flat), can_copy=True)
    padded = _padded(model, vocab_size)
    report(f"Forward: {padded.name} (mlx-lm's own caches)")
    return ChosenForward(padded, _cache_bytes(model), can_copy=False)


def _flat_slot_bytes(flat: FlatForward) -> Callable[[int], int]:
    """Exact, from the arrays after one token was written."""
    span = Span(0, Slot(_PROBE_TOKENS, 0), 0, (0,), True, 0, SamplingParams(temperature=0.0))
    flat(StepPlan(spans=(span,), num_slots=((_PROBE_TOKENS, 1),)), mx.array([0]))
    slot_bytes = flat.slot_bytes()
    flat.reset()
    return slot_bytes


def _cache_bytes(model: nn.Module) -> Callable[[int], int]:
    """Estimated from mlx-lm's own caches after a short prompt.

    Exact for plain KV caches, which grow by 256 tokens; a fixed recurrent state counts as if it did.
    """
    caches = make_caches(model)
    mx.eval(model(mx.zeros((1, _PROBE_TOKENS), dtype=mx.int32), cache=caches))
    rate = max(1, sum(cache.nbytes for cache in caches) // _CACHE_STEP_TOKENS)
    return lambda num_tokens: num_tokens * rate


def _flat(model: nn.Module, platform: Platform, vocab_size: int, max_step_tokens: int) -> FlatForward:
    try:
        windows = attention_windows(make_caches(model))
    except TypeError as error:
        raise SelfCheckError(str(error)) from error
    attention, selector = choose_attention(platform), select_backbone_rows(model)
    flat = FlatForward(model, windows, attention, selector, max_step_tokens, platform.row_multiple)
    check_forward(model, flat, vocab_size)
    return flat


def _padded(model: nn.Module, vocab_size: int) -> Forward:
    batched = PaddedForward(model, batches=True)
    try:
        check_forward(model, batched, vocab_size)
    except SelfCheckError:
        return PaddedForward(model, batches=False)
    return batched
