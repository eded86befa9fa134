"""Four sequences through a forward, interleaved, and mlx-lm's word on each of them alone."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

from api.engine.forward.interface import Forward
from api.step_plan import Slot, SlotMove, Span, StepPlan

_MOVE_STEP = 4
_LARGER = Slot(128, 0)
_NUM_SLOTS = ((64, 3), (128, 1))


@dataclass(slots=True)
class Visit:
    """One sequence: when it comes, in which slot, how its prompt is cut, how long its answer is."""

    joins: int
    slot: Slot
    chunk: int
    prompt: list[int]
    num_answers: int
    computed: int = 0
    answer: list[int] = field(default_factory=list)

    @property
    def known(self) -> list[int]:
        return self.prompt + self.answer

    @property
    def is_done(self) -> bool:
        return len(self.answer) == self.num_answers


def draw_visits(vocab_size: int) -> list[Visit]:
    """Long and short prompts; the second leaves early and the fourth, of one token, gets its slot."""
    draw = random.Random(3)
    shapes = [(0, Slot(64, 0), 7, 38, 7), (1, Slot(64, 1), 5, 9, 3), (2, Slot(64, 2), 4, 17, 7)]
    shapes.append((8, Slot(64, 1), 1, 1, 8))
    return [
        Visit(joins, slot, chunk, [draw.randrange(vocab_size) for _ in range(length)], num_answers)
        for joins, slot, chunk, length, num_answers in shapes
    ]


def run(forward: Forward, visits: list[Visit]) -> None:
    """Fills in the visits' greedy answers."""
    released: list[int] = []
    for step in range(100):
        active = {i: v for i, v in enumerate(visits) if v.joins <= step and not v.is_done}
        if not active and step > max(visit.joins for visit in visits):
            return
        plan = _plan(active, step, tuple(released))
        released = _apply(forward, plan, visits)
    raise AssertionError("the visits do not end")


def plain_answer(model: nn.Module, visit: Visit, *, recomputes: bool = False) -> list[int]:
    """What mlx-lm's own model says with its own caches; ``recomputes``: without, all of it for each token.

    Raises AssertionError where it would say so to anything: then nothing can be compared with it.
    """
    caches = make_prompt_cache(model)
    logits = model(mx.array([visit.prompt]), cache=caches)[0, -1]
    changed = [token ^ (place == len(visit.prompt) - 4) for place, token in enumerate(visit.prompt)]
    other = model(mx.array([changed]), cache=make_prompt_cache(model))[0, -1]
    difference = mx.max(mx.abs(mx.where(mx.isinf(logits), 0, logits - other))).item()
    assert changed == visit.prompt or float(difference) > 1e-3, "the model forgets what was said"
    answer = [int(mx.argmax(logits).item())]
    while len(answer) < visit.num_answers:
        logits = model(
            mx.array([visit.prompt + answer] if recomputes else [answer[-1:]]),
            cache=None if recomputes else caches,
        )[0, -1]
        answer.append(int(mx.argmax(logits).item()))
    return answer


def _plan(active: dict[int, Visit], step: int, released: tuple[int, ...]) -> StepPlan:
    moves = ()
    if step == _MOVE_STEP:
        moves = (SlotMove(active[0].slot, _LARGER, active[0].computed),)
        active[0].slot = _LARGER
    spans = sorted(
        (_span(i, visit) for i, visit in active.items()),
        key=lambda span: (span.num_tokens > 1, span.slot.capacity, span.slot.index),
    )
    return StepPlan(released=released, num_slots=_NUM_SLOTS, moves=moves, spans=tuple(spans))


def _span(sequence_id: int, visit: Visit) -> Span:
    ids = visit.known[visit.computed : visit.computed + visit.chunk]
    samples = visit.computed + len(ids) == len(visit.known)
    return Span(sequence_id, visit.slot, visit.computed, tuple(ids), int(samples), 0)


def _apply(forward: Forward, plan: StepPlan, visits: list[Visit]) -> list[int]:
    """Runs a step; returns the sequences that have ended."""
    ids = [token for span in plan.spans for token in span.token_ids]
    logits = forward(plan, mx.array(ids, dtype=mx.int32))
    forward.compute_saves()
    mx.eval(logits, forward.state())
    sampled = iter(mx.argmax(logits, axis=-1).tolist() if logits.shape[0] else [])
    for span in plan.spans:
        visits[span.sequence_id].computed += span.num_tokens
        if span.samples:
            visits[span.sequence_id].answer.append(next(sampled))
    return [span.sequence_id for span in plan.spans if visits[span.sequence_id].is_done]
