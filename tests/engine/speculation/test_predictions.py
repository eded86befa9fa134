"""Predicted answers on simulated devices: what they save when they are right, and cost when they are not."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from api.engine.budget.step_budget import StepBudget
from api.engine.sequences.predicted_text import PredictedText, Prediction
from api.engine.sequences.sequence import Sequence
from api.engine.speculation.predictions import Predictions
from api.engine.speculation.repeats import Repeats
from api.engine.speculation.speculation import AdaptiveSpeculation
from api.engine.speculation.verification_costs import StepKind, VerificationCosts
from api.step_plan import Slot
from tests.engine.factories import GREEDY, create_sequence

Seconds = Callable[[int], float]  # of a step with so many rows
DEVICES: dict[str, Seconds] = {
    "flat": lambda num_rows: 0.010 + 0.0001 * (num_rows - 1),
    "small processor": lambda num_rows: 0.050 + 0.003 * (num_rows - 1),
    "busy processor": lambda num_rows: 0.050 + 0.005 * (num_rows - 1),
}
DEAR: Seconds = lambda num_rows: 0.020 * num_rows  # noqa: E731


def create_file(num_lines: int, seed: int) -> list[list[int]]:
    """Lines of a few tokens, of which some are in every line and some are rare."""
    draw = random.Random(seed)
    words = [
        draw.choice([draw.randrange(10), draw.randrange(10, 90), draw.randrange(90, 900)]) for _ in range(400)
    ]
    return [[*draw.choices(words, k=draw.randint(3, 14)), 1] for _ in range(num_lines)]


def flat(lines: list[list[int]]) -> list[int]:
    return [token for line in lines for token in line]


def edit(lines: list[list[int]]) -> list[list[int]]:
    """A tenth of the lines with another word, some new lines, some missing."""
    changed = [
        [*line[:2], 2000 + number, 2001, *line[3:]] if number % 10 == 9 else line
        for number, line in enumerate(lines)
    ]
    return [*changed[:100], [3000, 3001, 3002, 1], [3003, 3004, 1], *changed[100:200], *changed[205:]]


def decode(answer: list[int], predicted: list[int] | None, seconds: Seconds) -> float:
    """The seconds that one stream takes on a device, by those of plain decoding."""
    budget = StepBudget(stall_seconds=0.1, max_step_tokens=256, first_chunk_tokens=64)
    budget.observe(65, 64, seconds(65))
    made = AdaptiveSpeculation(VerificationCosts(budget), [Predictions(), Repeats()])
    made.observe(StepKind(1), seconds(1))
    sequence = create_sequence(prompt=[5, 6, 7], max_tokens=len(answer) + 100)
    sequence.slot = Slot(len(answer) + 1000, 0)
    sequence.prediction = Prediction(PredictedText(predicted)) if predicted is not None else None
    sequence.num_computed = 2
    total, num_read = 0.0, 0
    while num_read < len(answer):
        kind = StepKind(1, int(bool(sequence.proposals)), len(sequence.proposals))
        total += seconds(1 + kind.num_proposed)
        made.observe(kind, seconds(1 + kind.num_proposed))
        num_read += receive(made, sequence, answer[num_read:])
        made.reads_first([sequence])
        made.propose([sequence])
    return total / (len(answer) * seconds(1))


def receive(made: AdaptiveSpeculation, sequence: Sequence, tokens: list[int]) -> int:
    """A step's tokens come back, as long as they hold. Returns their number."""
    sequence.dispatch(1 + len(sequence.proposals))
    for number, token in enumerate(tokens, 1):
        if not sequence.receive(token):
            return number
        made.accept(sequence.sequence_id)
    sequence.proposals, sequence.num_in_flight = (), 0
    return len(tokens)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(3))
def test_an_edit_of_300_lines_takes_a_quarter_of_the_time(device: str, seed: int) -> None:
    lines = create_file(300, seed)
    assert decode(flat(edit(lines)), flat(lines), DEVICES[device]) < 0.25


@pytest.mark.parametrize("device", DEVICES)
def test_an_answer_as_predicted_takes_a_seventh(device: str) -> None:
    lines = flat(create_file(300, 4))
    assert decode(lines, lines, DEVICES[device]) < 1 / 7


@pytest.mark.parametrize("device", [*DEVICES, "dear rows"])
@pytest.mark.parametrize("num_lines", [4, 100])
def test_a_wrong_prediction_costs_next_to_nothing(device: str, num_lines: int) -> None:
    answer, predicted = flat(create_file(num_lines, 5)), flat(create_file(300, 6))
    seconds = DEVICES.get(device, DEAR)
    assert decode(answer, predicted, seconds) < decode(answer, None, seconds) + 0.05


def test_where_rows_are_dear_a_right_one_is_left_alone() -> None:
    lines = flat(create_file(30, 7))
    assert decode(lines, lines, DEAR) == pytest.approx(1.0, abs=0.1)


def test_penalties_leave_it_aside() -> None:
    sequence = create_sequence(
        prompt=[5, 6, 7], sampling=replace(GREEDY, frequency_penalty=1.0), max_tokens=90
    )
    sequence.prediction = Prediction(PredictedText(range(100)))
    sequence.slot = Slot(256, 0)
    budget = StepBudget(stall_seconds=0.1, max_step_tokens=256, first_chunk_tokens=64)
    made = AdaptiveSpeculation(VerificationCosts(budget), [Predictions()])
    made.observe(StepKind(1), 0.01)
    made.reads_first([sequence])
    made.propose([sequence])
    assert sequence.proposals == ()
    sequence.num_in_flight = 1
    sequence.receive(0)
    assert sequence.prediction.num_accepted == 1  # what came true is told all the same


def test_a_source_without_predictions_has_nothing() -> None:
    source, sequence = Predictions(), create_sequence()
    assert source.gains(sequence, 5) == []
    assert source.propose([(sequence, 3)]) == [()]
