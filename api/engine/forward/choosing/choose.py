"""Gives a loaded model the fastest forward that reproduces it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import mlx.core as mx
import mlx.nn as nn

from api.config import ForwardChoice
from api.engine.device.platform import Platform
from api.engine.forward.attention.attention import choose_attention
from api.engine.forward.backbone import select_backbone_rows
from api.engine.forward.cache_kinds import (
    CacheSpec,
    build_caches,
    describe_caches,
    kv_specs,
    make_caches,
    state_specs,
)
from api.engine.forward.choosing.self_check import SelfCheck, SelfCheckError
from api.engine.forward.compiled_steps import STEPS_BEFORE_TRACE
from api.engine.forward.flat import FlatForward, FlatLayer, make_store
from api.engine.forward.grouped import GroupedForward
from api.engine.forward.grouped_layers import AttendingViews, LatentViews, SlotCacheViews
from api.engine.forward.interface import Forward
from api.engine.forward.kv.slot_array import QuantizedFormat
from api.engine.forward.kv.store import KVStore
from api.engine.forward.latent import LatentLayer, latent_attention
from api.engine.forward.padded import PaddedForward
from api.engine.forward.shared_kv import SharedLayer
from api.engine.forward.step_context import StepContext
from api.errors import StartupError
from api.step_plan import Slot, Span, StepPlan
from api.types import Report

F = TypeVar("F", bound=Forward)
T = TypeVar("T")
Bytes = Callable[[int], int]  # of so many tokens

_PROBE_TOKENS = 8
_CACHE_STEP_TOKENS = 256  # mlx-lm's caches grow by this much


@dataclass(frozen=True, slots=True)
class ChosenForward:
    """A forward that passed its check, and what its state takes."""

    forward: Forward
    slot_bytes: Callable[[int], int]  # tokens of one sequence -> bytes
    has_slots: bool = False  # its state lies in the plan's slots: it can be saved in blocks and loaded
    # A sequence may begin with a copy of another's slot, at any token before its end.
    can_copy: bool = False
    can_rewind: bool = False  # tokens computed in vain can be computed again, with others in their place
    state_bytes: int = 0  # of ``slot_bytes``: what does not depend on the tokens
    copy_share: float = 1.0  # of all slots' bytes: what is copied at a time when slots change
    array_bytes: Callable[[int], int] | None = None  # tokens -> bytes of a slot in the largest array
    draft_bytes: Callable[[int], int] | None = None  # of ``slot_bytes``: a draft model's, in no block


def choose_forward(
    model: nn.Module,
    platform: Platform,
    vocab_size: int,
    max_step_tokens: int,
    choice: ForwardChoice,
    report: Report,
    kv_bits: int | None = None,
) -> ChosenForward:
    """Flat, else grouped, else padded, as the self-check and ``choice`` allow; tells ``report`` why.

    ``kv_bits``: keys and values are quantised to so many bits, after the check without.
    Raises StartupError when ``choice`` or ``kv_bits`` demand what the model cannot run.
    """
    candidates = _Candidates(model, platform, vocab_size, max_step_tokens, kv_bits, report)
    for name, choose in (("flat", candidates.flat), ("grouped", candidates.grouped)):
        if choice not in ("auto", name):
            continue
        try:
            chosen = choose()
        except SelfCheckError as error:
            if choice == name:
                raise StartupError(f"--forward {name}: the model cannot run it: {error}") from error
            report(f"Forward: not {name} ({error})")
        else:
            report(f"Forward: {name} (self-check: equal to the plain model)")
            return chosen
    if kv_bits is not None:
        raise StartupError("--kv-bits: this model runs on mlx-lm's own caches, which stay as they are")
    chosen = candidates.padded()
    report(f"Forward: {chosen.forward.name} (mlx-lm's own caches)")
    return chosen


class _Candidates:
    """The forwards of one model, each in the variants that its code may need, the fastest first."""

    def __init__(
        self,
        model: nn.Module,
        platform: Platform,
        vocab_size: int,
        max_step_tokens: int,
        kv_bits: int | None,
        report: Report,
    ) -> None:
        self._model = model
        self._report = report
        self._kv_bits = kv_bits
        self._platform = platform
        self._max_step_tokens = max_step_tokens
        self._attention = choose_attention(platform)
        self._check = SelfCheck(model, vocab_size)
        self._step = StepContext()
        select_backbone_rows(model, self._step)

    def flat(self) -> ChosenForward:
        """Raises SelfCheckError."""
        caches = self._describe()
        if state_specs(caches):
            raise SelfCheckError("a layer keeps recurrent state")
        flat = self._first_sound(self._flats(caches))
        if self._platform.compiles_steps:
            self._compile(flat)
        self._quantize(flat)
        slot_bytes, copy_share, array_bytes = _probe(flat, lambda: _sizes(flat))
        return ChosenForward(
            flat,
            slot_bytes,
            has_slots=True,
            can_copy=True,
            can_rewind=True,
            copy_share=copy_share,
            array_bytes=array_bytes,
        )

    def grouped(self) -> ChosenForward:
        """Raises SelfCheckError."""
        caches = self._describe()
        grouped = self._first_sound(self._groupeds(caches))
        self._quantize(grouped)
        slot_bytes, copy_share, array_bytes = _probe(grouped, lambda: _sizes(grouped))
        state_bytes = _probe(grouped, grouped.state_bytes)
        return ChosenForward(
            grouped,
            slot_bytes,
            has_slots=True,
            can_copy=not state_specs(caches),
            state_bytes=state_bytes,
            copy_share=copy_share,
            array_bytes=array_bytes,
        )

    def padded(self) -> ChosenForward:
        batched = PaddedForward(self._model, batches=True)
        try:
            self._check(batched, has_slots=False)
        except SelfCheckError:
            batched = PaddedForward(self._model, batches=False)
        return ChosenForward(batched, _cache_bytes(self._model))

    def _compile(self, flat: FlatForward) -> None:
        """Where traces of the model's steps say the same as the steps; else it runs as it is."""
        flat.is_compiled, flat.compiled.trace_after = True, 0
        try:
            self._check(flat, has_slots=True)
        except SelfCheckError as error:
            flat.is_compiled = False
            self._report(f"Forward: steps are not compiled ({error})")
        flat.compiled.clear()
        flat.compiled.trace_after = STEPS_BEFORE_TRACE

    def _quantize(self, forward: FlatForward | GroupedForward) -> None:
        """Raises StartupError where the model's heads cannot be cut into groups."""
        if self._kv_bits is None:
            return
        forward.use(QuantizedFormat(self._kv_bits))
        try:
            _probe(forward, lambda: None)
        except ValueError as error:
            raise StartupError(f"--kv-bits: {error}") from error

    def _describe(self) -> tuple[CacheSpec, ...]:
        try:
            return describe_caches(make_caches(self._model))
        except TypeError as error:
            raise SelfCheckError(str(error)) from error

    def _first_sound(self, forwards: Iterator[F]) -> F:
        """Raises the first one's SelfCheckError where none passes."""
        errors = []
        for forward in forwards:
            try:
                self._check(forward, has_slots=True)
            except SelfCheckError as error:
                errors.append(error)
            else:
                return forward
        raise errors[0]

    def _flats(self, caches: tuple[CacheSpec, ...]) -> Iterator[FlatForward]:
        def nest(layers: list[FlatLayer]) -> list[Any]:
            return build_caches(caches, layers.__getitem__, layers.__getitem__)

        windows = [spec.window for spec in kv_specs(caches)]
        for layer_class, attention in (
            (FlatLayer, self._attention),
            (SharedLayer, self._attention),
            (LatentLayer, latent_attention),
        ):
            yield FlatForward(
                self._model,
                windows,
                attention,
                self._step,
                self._max_step_tokens,
                self._platform.row_multiple,
                layer_class,
                nest,
            )

    def _groupeds(self, caches: tuple[CacheSpec, ...]) -> Iterator[GroupedForward]:
        windows = [spec.window for spec in kv_specs(caches)]
        store = make_store(windows, self._max_step_tokens)
        attending = AttendingViews(self._step, store, windows, self._attention)
        yield GroupedForward(self._model, caches, store, attending, self._step)
        if not windows:
            return
        store = KVStore(None for _ in windows)
        for views in (
            LatentViews(self._step, store, windows),
            SlotCacheViews(self._step, store, windows),
            SlotCacheViews(self._step, store, windows, row_mask_axes=5),
        ):
            yield GroupedForward(self._model, caches, store, views, self._step)


def _probe(forward: Forward, measure: Callable[[], T]) -> T:
    """What ``measure`` says of the arrays once a few tokens of one sequence have been written."""
    ids = (0,) * _PROBE_TOKENS
    span = Span(0, Slot(_PROBE_TOKENS, 0), 0, ids, 1, 0)
    forward(StepPlan(spans=(span,), num_slots=((_PROBE_TOKENS, 1),)), mx.array(ids))
    mx.eval(forward.state())
    measured = measure()
    forward.reset()
    return measured


def _sizes(forward: FlatForward | GroupedForward) -> tuple[Bytes, float, Bytes]:
    return forward.slot_bytes(), forward.store.largest_share(), forward.store.array_bytes()


def _cache_bytes(model: nn.Module) -> Callable[[int], int]:
    """Estimated from mlx-lm's own caches after a short prompt.

    Exact for plain KV caches, which grow by 256 tokens; a fixed recurrent state counts as if it did.
    """
    caches = make_caches(model)
    mx.eval(model(mx.zeros((1, _PROBE_TOKENS), dtype=mx.int32), cache=caches))
    rate = max(1, sum(cache.nbytes for cache in caches) // _CACHE_STEP_TOKENS)
    return lambda num_tokens: num_tokens * rate
