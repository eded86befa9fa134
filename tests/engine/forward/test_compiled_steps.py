"""Steps replayed from traces say what the steps say, whatever changes between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import mlx.core as mx
import mlx.nn as nn
import pytest

from api.engine.forward.choosing.choose import ChosenForward, choose_forward
from api.engine.forward.flat import FlatForward
from api.step_plan import Slot, Span, StepPlan
from tests.engine.tiny_models import VOCAB_SIZE, build_model, platform


def chosen_compiled() -> tuple[ChosenForward, list[str]]:
    """One architecture only: on a CPU each has its own kernels made by a C++ compiler."""
    lines: list[str] = []
    on = replace(platform(), compiles_steps=True)
    chosen = choose_forward(build_model("llama"), on, VOCAB_SIZE, 64, "flat", lines.append)
    return chosen, lines


def decode(forward: FlatForward, num_rows: int, num_steps: int, num_slots: int) -> list[list[float]]:
    """The logits of each step of so many rows, in the last slots of their class."""
    forward.reset()
    first_slot = num_slots - num_rows
    found = []
    for start in range(num_steps):
        spans = tuple(
            Span(row, Slot(64, first_slot + row), start, ((7 * row + start) % 50,), 1, start)
            for row in range(num_rows)
        )
        plan = StepPlan(spans=spans, num_slots=((64, num_slots),))
        logits = forward(plan, mx.array([span.token_ids[0] for span in spans]))
        mx.eval(logits, forward.state())
        found += logits.tolist()
    return found


@pytest.mark.parametrize(("num_rows", "num_slots"), [(1, 1), (3, 5)])
def test_traces_say_what_the_steps_say(num_rows: int, num_slots: int) -> None:
    chosen, lines = chosen_compiled()
    assert lines == ["Forward: flat (self-check: equal to the plain model)"]
    forward = chosen.forward
    assert isinstance(forward, FlatForward) and forward.is_compiled
    compiled = decode(forward, num_rows, 40, num_slots)  # a row outgrows 32 tokens on the way
    assert forward.compiled.num_traces == 2
    forward.is_compiled = False
    plain = decode(forward, num_rows, 40, num_slots)
    assert mx.allclose(mx.array(compiled), mx.array(plain), atol=1e-5, rtol=1e-4).item()


def test_the_slots_are_written_in_place() -> None:
    """A trace that kept its inputs alive would copy all slots in each step."""
    forward = chosen_compiled()[0].forward
    assert isinstance(forward, FlatForward)
    num_slots = 4000
    decode(forward, 2, 6, num_slots)
    one_layer = sum(array.nbytes for array in forward.state()) // 4
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    spans = tuple(Span(row, Slot(64, row), 6, (3,), 1, 6) for row in range(2))
    plan = StepPlan(spans=spans, num_slots=((64, num_slots),))
    for _ in range(3):
        mx.eval(forward(plan, mx.array([3, 3])), forward.state())
    assert mx.get_peak_memory() - before < one_layer


def test_what_cannot_be_traced_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that evaluates something in the middle of its forward."""
    if not _is_traced():
        monkeypatch.setattr(mx, "compile", _refuse)
    model = build_model("llama")
    model.model.norm = _Evaluating(model.model.norm)
    lines: list[str] = []
    on = replace(platform(), compiles_steps=True)
    chosen = choose_forward(model, on, VOCAB_SIZE, 64, "auto", lines.append)
    assert isinstance(chosen.forward, FlatForward) and not chosen.forward.is_compiled
    assert lines[0].startswith("Forward: steps are not compiled (ValueError")


def _is_traced() -> bool:
    """On a CPU without a C++ compiler ``mx.compile`` gives back the function as it is."""
    calls: list[int] = []
    traced = mx.compile(lambda x: (calls.append(1), x + 1)[1])
    mx.eval(traced(mx.array(1.0)), traced(mx.array(2.0)))
    return len(calls) == 1


def _refuse(function: object) -> Callable[..., object]:
    def step(*args: object) -> object:
        raise ValueError("[eval] Attempting to eval an array during function transformations")

    return step


class _Evaluating(nn.Module):  # type: ignore[misc]  # mlx.nn is untyped
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def __call__(self, x: mx.array) -> mx.array:
        mx.eval(x)
        normed: mx.array = self.inner(x)
        return normed
