"""Predicted answers through the whole engine over a tiny model: plain decoding's tokens in fewer steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.engine.sequences.predicted_text import PredictedText, Prediction
from api.engine.speculation.predictions import Predictions
from api.engine.speculation.speculation import AdaptiveSpeculation, Speculation
from api.engine.speculation.verification_costs import VerificationCosts
from api.types import SamplingParams
from tests.engine.factories import GREEDY, create_budget, create_sequence
from tests.engine.tiny_models import VOCAB_SIZE, choose, platform
from tests.test_generator_speculation import SpeculatingLoop, create_prompt

pytestmark = pytest.mark.usefixtures("tiny_classes")

NUM_TOKENS = 60
SAMPLINGS = [
    GREEDY,
    SamplingParams(temperature=1.0, seed=5),
    SamplingParams(temperature=0.8, top_p=0.9, top_k=40, seed=6, num_top_logprobs=3),
    replace(GREEDY, logit_bias=((7, 2.0),)),
    SamplingParams(temperature=1.0, seed=7, frequency_penalty=0.5),
    replace(GREEDY, repetition_penalty=1.2),
]


def run(speculation: Speculation | None, predicted: dict[str, list[int]]) -> SpeculatingLoop:
    """All samplings at once, those named in ``predicted`` with a prediction."""
    chosen, _ = choose("llama")
    loop = SpeculatingLoop(chosen, platform(), speculation)
    for number, sampling in enumerate(SAMPLINGS, 1):
        prompt = create_prompt(number)
        sequence = create_sequence(number, max_tokens=NUM_TOKENS, prompt=prompt, sampling=sampling)
        if (token_ids := predicted.get(sequence.request_id)) is not None:
            sequence.prediction = Prediction(PredictedText(token_ids))
        loop.add(sequence)
    loop.run()
    loop.check_idle()
    return loop


def speculation() -> Speculation:
    return AdaptiveSpeculation(VerificationCosts(create_budget(40)), [Predictions()])


def answers_of(loop: SpeculatingLoop) -> dict[str, list[int]]:
    return {name: result.token_ids for name, result in loop.results.items()}


def accepted_of(loop: SpeculatingLoop) -> list[int]:
    predictions = [sequence.prediction for sequence in loop.sequences.values()]
    return [prediction.num_accepted for prediction in predictions if prediction is not None]


def num_steps(loop: SpeculatingLoop) -> int:
    return sum(bool(plan.spans) for plan in loop.plans)


@pytest.fixture(scope="module")
def plain() -> SpeculatingLoop:
    return run(None, {})


def edited(answer: list[int]) -> list[int]:
    """The text before the edit that gave the answer: another token, one more, three less."""
    other = [(answer[10] + 1) % VOCAB_SIZE, (answer[10] + 2) % VOCAB_SIZE]
    return [*answer[:10], *other, *answer[11:30], *answer[33:]]


def test_answers_as_predicted_are_the_same_in_fewer_steps(plain: SpeculatingLoop) -> None:
    answers = answers_of(plain)
    loop = run(speculation(), answers)
    assert answers_of(loop) == answers
    assert accepted_of(loop) == [NUM_TOKENS] * len(SAMPLINGS)
    assert loop.scheduler.stats().num_accepted_tokens > NUM_TOKENS


def test_edited_answers_are_the_same_and_most_of_the_prediction_comes_true(plain: SpeculatingLoop) -> None:
    answers = answers_of(plain)
    loop = run(speculation(), {name: edited(answer) for name, answer in answers.items()})
    assert answers_of(loop) == answers
    assert min(accepted_of(loop)) > NUM_TOKENS - 12
    assert loop.scheduler.stats().num_accepted_tokens > 30


def test_wrong_predictions_change_nothing(plain: SpeculatingLoop) -> None:
    answers = answers_of(plain)
    wrong = {name: [(token * 7 + 3) % VOCAB_SIZE for token in answer] for name, answer in answers.items()}
    assert answers_of(run(speculation(), wrong)) == answers


def test_counts_do_not_depend_on_speculation(plain: SpeculatingLoop) -> None:
    predicted = {name: edited(answer) for name, answer in answers_of(plain).items()}
    with_it, without = run(speculation(), predicted), run(None, predicted)
    assert accepted_of(with_it) == accepted_of(without)
    assert min(accepted_of(without)) > 0


def test_one_stream_takes_a_fraction_of_the_steps() -> None:
    chosen, _ = choose("llama")

    def answer(predicted: list[int] | None) -> SpeculatingLoop:
        loop = SpeculatingLoop(chosen, platform(), speculation())
        sequence = create_sequence(prompt=create_prompt(1), max_tokens=200)
        sequence.prediction = Prediction(PredictedText(predicted)) if predicted else None
        loop.add(sequence)
        loop.run()
        return loop

    plain = answer(None)
    loop = answer(edited(plain.results["r1"].token_ids))
    assert loop.results["r1"].token_ids == plain.results["r1"].token_ids
    assert num_steps(loop) < num_steps(plain) / 4
