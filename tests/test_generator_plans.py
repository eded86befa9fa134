"""Plans as they would go to another machine: what a step is told is bytes."""

from __future__ import annotations

import pickle
import random
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace

import mlx.core as mx
import pytest

from api.engine.sampling.sampler import Sampler
from api.engine.sampling.state import UnknownSequenceError
from api.engine.sequences.sequence import Sequence
from api.engine.speculation.speculation import Speculation
from api.generator import BatchGenerator
from api.step_plan import DraftedTokens, SampledToken, ScoredTokens, Slot, Span, StepNews, StepPlan
from api.types import SamplingParams
from tests.engine.draft.eager_drafts import EagerDrafts, create_drafter, create_loop
from tests.engine.factories import GREEDY, Loop, create_sequence, tiny_slot_classes
from tests.engine.fake_generator import StepFailed
from tests.engine.fake_speculation import OracleSpeculation
from tests.engine.sampling_factories import CHARACTERS, EOS, RegexGrammar, text_of
from tests.engine.tiny_models import VOCAB_SIZE, choose, platform
from tests.fakes.thinking import create_thinking

NUM_ANSWER_TOKENS = 24
REGEX = r"\{\"[a-z]{3,9}\": (true|false|[0-9]{2,5})\}"
LOAD: dict[str, SamplingParams] = {
    "greedy": GREEDY,
    "drawn": SamplingParams(temperature=1.0, seed=5),
    "filters": SamplingParams(temperature=0.8, top_p=0.9, top_k=40, min_p=0.01, seed=6),
    "grammar": SamplingParams(grammar=RegexGrammar(REGEX), end_token_ids=(EOS,), seed=1),
    "budget": SamplingParams(thinking=create_thinking(CHARACTERS, max_tokens=5), seed=3),
    "penalties": replace(GREEDY, frequency_penalty=1.5, presence_penalty=0.5, repetition_penalty=1.3),
    "logprobs": replace(GREEDY, logit_bias=((7, 3.0), (9, -100.0)), num_top_logprobs=3),
    "scored prompt": replace(GREEDY, num_prompt_logprobs=2),
    "min_tokens": SamplingParams(min_tokens=20, end_token_ids=tuple(range(0, 60, 2)), seed=8),
}
FAILING_STEPS = (8, 21)  # among those of several sequences: one that fails alone is to blame


@pytest.fixture(autouse=True, scope="module")
def _classes_of_8_12_16() -> Iterator[None]:
    with tiny_slot_classes():
        yield


class Recorder:
    """A generator whose news are kept, a few of whose steps raise behind its back."""

    def __init__(self, generator: BatchGenerator) -> None:
        self.news: list[StepNews] = []
        self._generator = generator
        self._num_steps = 0

    def add(self, sequence_id: int, sampling: SamplingParams) -> None:
        self._generator.add(sequence_id, sampling)

    def step(self, plan: StepPlan) -> list[StepNews]:
        has_several = len(plan.spans) > 1
        self._num_steps += has_several
        news = self._generator.step(plan)
        if has_several and self._num_steps in FAILING_STEPS:
            raise StepFailed
        self.news += news
        return news

    def dispatch(self) -> None:
        self._generator.dispatch()

    def reset(self) -> None:
        self._generator.reset()


class FarAway(Recorder):
    """One that a plan reaches as bytes."""

    def step(self, plan: StepPlan) -> list[StepNews]:
        received = pickle.loads(pickle.dumps(plan))
        assert received == plan
        return super().step(received)


def guess(sequence: Sequence) -> list[int]:
    """An oracle that is right now and then: a tiny model's answers soon run in circles."""
    return [] if sequence.sampling.needs_state else sequence.token_ids[-3:] * 2


def run(kind: type[Recorder], drafts: bool) -> Loop[Recorder]:
    """The whole load in little memory; the first request is answered twice."""
    chosen, _ = choose("llama")
    drafter = create_drafter(choose("llama")[0], platform()) if drafts else None
    speculation: Speculation = EagerDrafts() if drafts else OracleSpeculation(guess, VOCAB_SIZE)
    here = create_loop(chosen, platform(), speculation, drafter, budget_tokens=170)
    loop = Loop(here.scheduler, here.memory, kind(here.generator))
    for number, sampling in enumerate(LOAD.values(), 1):
        draw = random.Random(number)
        prompt = [draw.randrange(VOCAB_SIZE) for _ in range(draw.choice([2, 5, 17, 60]))]
        for choice_index in range(2 if number == 1 else 1):
            loop.add(
                create_sequence(
                    100 * choice_index + number,
                    max_tokens=NUM_ANSWER_TOKENS,
                    prompt=prompt,
                    sampling=sampling,
                    eos_token_ids=[EOS] if sampling.grammar else [],
                    request_number=number,
                    choice_index=choice_index,
                )
            )
        loop.step()
    loop.run()
    loop.check_idle()
    assert all(result.error is None for result in loop.results.values())
    return loop


@pytest.mark.parametrize("drafts", [False, True], ids=["proposals", "drafts"])
def test_plans_that_come_as_bytes_give_the_same(drafts: bool) -> None:
    near, far = run(Recorder, drafts), run(FarAway, drafts)
    assert far.plans == near.plans
    assert far.generator.news == near.generator.news
    answer = dict(zip(LOAD, (far.results[f"r{i}"] for i in range(1, len(LOAD) + 1)), strict=True))
    assert re.fullmatch(REGEX, text_of(answer["grammar"].token_ids).removesuffix(f"<{EOS}>"))
    # All that the load is made for has happened.
    kinds = {SampledToken, ScoredTokens, *([DraftedTokens] if drafts else [])}
    assert {type(each) for each in far.generator.news} == kinds
    assert any(isinstance(each, SampledToken) and each.logprobs for each in far.generator.news)
    assert any(span.num_samples > 1 for plan in far.plans for span in plan.spans)
    assert far.scheduler.stats().num_preemptions > 0


def test_plans_are_made_of_numbers_alone() -> None:
    loop = run(Recorder, drafts=True)
    assert {type(part) for plan in loop.plans for part in parts(plan)} <= {int, bool, str}


def parts(value: object) -> Iterator[object]:
    if is_dataclass(value):
        for field in fields(value):
            yield from parts(getattr(value, field.name))
    elif isinstance(value, tuple):
        for each in value:
            yield from parts(each)
    else:
        yield value


class Failing:
    """A forward that always raises."""

    name = "failing"

    def __call__(self, plan: StepPlan, token_ids: mx.array) -> mx.array:
        raise StepFailed

    def compute_saves(self) -> None: ...

    def state(self) -> list[mx.array]:
        return []

    def reset(self) -> None: ...


def test_a_sequence_that_ended_is_forgotten_even_if_that_step_fails() -> None:
    generator = BatchGenerator(Failing(), Sampler(platform()))
    span = Span(1, Slot(8, 0), 0, (5, 6), 1, 0)
    generator.add(1, GREEDY)
    for _ in range(2):  # a step that raises and a reset change nothing
        with pytest.raises(StepFailed):
            generator.step(StepPlan(spans=(span,)))
        generator.reset()
    with pytest.raises(StepFailed):
        generator.step(StepPlan(released=(1,), ended=(1,)))
    with pytest.raises(UnknownSequenceError, match="sequence 1"):
        generator.step(StepPlan(spans=(span,)))
