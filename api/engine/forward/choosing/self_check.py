"""Decides at load which forward a model gets: by its logits, not by a list of names."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from api.engine.forward.cache_kinds import make_caches
from api.engine.forward.interface import Forward
from api.step_plan import BlockLoad, BlockSave, Slot, SlotMove, Span, StepPlan

_NUM_TOKENS = 24
_BLOCK_TOKENS = 8


@dataclass(frozen=True, slots=True)
class _Step:
    rows: tuple[tuple[int, int], ...]  # (sequence, number of tokens); single ones first
    released: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()  # blocks
    saved: int | None = None  # the sequence whose first block is saved, as block 0
    moved: int | None = None  # the sequence that goes to the larger class
    loaded: int | None = None  # the sequence that starts behind block 0


# Chunks of two sequences, interleaved with single tokens.
_STEPS = (
    _Step(((0, 5),)),
    _Step(((0, 1), (1, 7))),
    _Step(((0, 1), (1, 1))),
    _Step(((1, 1), (0, 6))),
    _Step(((0, 1), (1, 5))),
    _Step(((0, 1), (1, 1))),
    _Step(((0, 1), (1, 1))),  # the same rows again: nobody joined or left
)
# What the plan does to slots: they are moved, given to others, saved and loaded. Sequence 2 starts with a
# single token, in the slot that 1 had; 3 says the same as 2 and starts behind a block of it.
_SLOT_STEPS = (
    _Step(((1, 1), (0, 1)), moved=0),
    _Step(((2, 1), (0, 1)), released=(1,)),
    _Step(((0, 1), (2, 1))),
    _Step(((0, 1), (2, 6))),
    _Step(((2, 1), (0, 1)), saved=2),
    _Step(((3, 1), (2, 1)), released=(0,), loaded=3),
    _Step(((2, 1), (3, 3))),
    _Step(((3, 1), (2, 1)), dropped=(0,)),
)
_SLOTS = {0: Slot(64, 0), 1: Slot(64, 1), 2: Slot(64, 1), 3: Slot(64, 0)}
_LARGER = Slot(128, 0)
_FLOAT32_TOLERANCE, _HALF_TOLERANCE = 1e-3, 5e-2  # of the largest logit
_PROBE_SIZE = 256  # rows and columns
# Of an element, over the root of its summands: float32 leaves a tenth of it, TF32 more than ten times of it.
_FLOAT32_ERROR = 1e-5

# Lengths, in tokens or blocks, from which a model's attention takes another way through its code: lowered
# for the check, for that way to be checked as well.
_THRESHOLDS = {
    "index_topk": 4,
    "index_topk_blocks": 2,
    "index_block_size": 2,
    "blocksparse_block_size": 2,
    "blocksparse_num_local_blocks": 1,
    "blocksparse_vert_stride": 2,
}


class SelfCheckError(Exception):
    """A forward does not reproduce the model; the message says how."""


class SelfCheck:
    """A few random tokens and the plain model's logits for them, against which forwards are held."""

    def __init__(self, model: nn.Module, vocab_size: int) -> None:
        draw = random.Random(0)
        tokens = [[draw.randrange(vocab_size) for _ in range(_NUM_TOKENS)] for _ in range(3)]
        self._model = model
        self._tokens = [*tokens, tokens[2]]
        with lowered_thresholds(model):
            plain = [_plain_logits(model, ids) for ids in tokens]
        self._plain = [*plain, plain[2]]

    def __call__(self, forward: Forward, *, has_slots: bool) -> None:
        """``has_slots``: its state lies in the plan's slots, so what the plan does to them is checked too.

        Raises SelfCheckError where the logits differ or the forward raises. Leaves ``forward`` empty.
        """
        run = _Run(forward, self._tokens, self._plain)
        try:
            with lowered_thresholds(self._model):
                pairs = [run.step(step) for step in (*_STEPS, *(_SLOT_STEPS if has_slots else ()))]
                mx.eval(pairs)
        except Exception as error:  # whatever a model's code raises on unusual shapes: not this forward
            raise SelfCheckError(f"{type(error).__name__}: {error}") from error
        finally:
            forward.reset()
        _compare(pairs)


def check_forward(model: nn.Module, forward: Forward, vocab_size: int, *, has_slots: bool = False) -> None:
    """One check; see ``SelfCheck``."""
    SelfCheck(model, vocab_size)(forward, has_slots=has_slots)


@contextmanager
def lowered_thresholds(model: nn.Module) -> Iterator[None]:
    """For a while, long prompts begin after a few tokens."""
    changed = [
        (module, name, getattr(module, name))
        for _, module in model.named_modules()
        for name in _THRESHOLDS
        if isinstance(getattr(module, name, None), int)
    ]
    for module, name, _ in changed:
        setattr(module, name, _THRESHOLDS[name])
    try:
        yield
    finally:
        for module, name, value in changed:
            setattr(module, name, value)


@dataclass(slots=True)
class _Run:
    forward: Forward
    tokens: list[list[int]]
    plain: list[mx.array]
    computed: dict[int, int] = field(default_factory=dict)
    slots: dict[int, Slot] = field(default_factory=lambda: dict(_SLOTS))

    def step(self, step: _Step) -> tuple[mx.array, mx.array]:
        """The forward's logits, and the plain model's of the same tokens."""
        plan = self._plan(step)
        logits = self.forward(plan, mx.array([t for span in plan.spans for t in span.token_ids]))
        self.forward.compute_saves()
        mx.eval(logits, self.forward.state())
        wanted = [self.plain[s.sequence_id][s.start + s.num_tokens - 1] for s in plan.spans]
        return logits, mx.stack(wanted)

    def _plan(self, step: _Step) -> StepPlan:
        saves, moves, loads = [], [], []
        if step.saved is not None:
            saves.append(BlockSave(0, self.slots[step.saved], 0, _BLOCK_TOKENS, with_state=True))
        if step.moved is not None:
            source = self.slots[step.moved]
            self.slots[step.moved] = _LARGER
            moves.append(SlotMove(source, _LARGER, self.computed[step.moved]))
        if step.loaded is not None:
            loads.append(BlockLoad((0,), self.slots[step.loaded]))
            self.computed[step.loaded] = _BLOCK_TOKENS
        return StepPlan(
            released=step.released,
            evicted_blocks=step.dropped,
            saves=tuple(saves),
            num_slots=((64, 2), (128, 1)),
            moves=tuple(moves),
            loads=tuple(loads),
            spans=tuple(self._span(sequence, count) for sequence, count in step.rows),
        )

    def _span(self, sequence: int, count: int) -> Span:
        start = self.computed.get(sequence, 0)
        self.computed[sequence] = start + count
        ids = tuple(self.tokens[sequence][start : start + count])
        return Span(sequence, self.slots[sequence], start, ids, 1, 0)


def _plain_logits(model: nn.Module, token_ids: list[int]) -> mx.array:
    """The model's own logits ``[tokens, vocabulary]``, with its own caches."""
    logits: mx.array = model(mx.array([token_ids]), cache=make_caches(model))
    mx.eval(logits)
    return logits[0]


def logit_tolerance(dtype: mx.Dtype) -> tuple[float, bool]:
    """Of the largest logit, the difference that another order of additions may make; and whether it is exact.

    Where it is not, a few rows may differ by more: an expert's near tie.
    """
    if dtype != mx.float32:
        return _HALF_TOLERANCE, False
    return (_FLOAT32_TOLERANCE, True) if has_exact_float32() else (_HALF_TOLERANCE, False)


def has_exact_float32(multiply: Callable[[mx.array, mx.array], mx.array] = mx.matmul) -> bool:
    """Whether the device multiplies float32 as such: by MLX's default some round to TF32 first."""
    numbers = np.random.default_rng(0).normal(size=(2, _PROBE_SIZE, _PROBE_SIZE)).astype(np.float32)
    product = np.array(multiply(mx.array(numbers[0]), mx.array(numbers[1])), dtype=np.float64)
    error = np.abs(product - numbers[0].astype(np.float64) @ numbers[1].astype(np.float64)).max()
    return bool(error <= _FLOAT32_ERROR * _PROBE_SIZE**0.5)


def _compare(pairs: list[tuple[mx.array, mx.array]]) -> None:
    """At half precision a few rows may differ; where float32 is exact none may."""
    got = mx.concatenate([logits for logits, _ in pairs]).astype(mx.float32)
    wanted = mx.concatenate([logits for _, logits in pairs]).astype(mx.float32)
    tolerance, is_exact = logit_tolerance(pairs[0][1].dtype)
    errors = mx.max(mx.abs(got - wanted), axis=-1) / mx.maximum(mx.max(mx.abs(wanted), axis=-1), 1e-6)
    row_errors = [float(error) for error in np.array(errors)]
    wrong = [error for error in row_errors if not error <= tolerance]
    if len(wrong) > (0 if is_exact else len(row_errors) // 4):
        raise SelfCheckError(
            f"{len(wrong)} of {len(row_errors)} rows differ, by up to {max(wrong):.2g} of the logits"
        )
