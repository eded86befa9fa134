"""Verified proposals through the whole engine over tiny random models: answers are plain decoding's."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from api.engine.device.platform import Platform
from api.engine.forward.choosing.choose import ChosenForward
from api.engine.forward.interface import Forward
from api.engine.memory.account import KVMemory
from api.engine.memory.prefix_cache import NoPrefixCache
from api.engine.memory.sequence_memory import SequenceMemory
from api.engine.memory.slots import SlotPool
from api.engine.sampling.sampler import Sampler
from api.engine.scheduling.scheduler import Scheduler
from api.engine.sequences.sequence import Sequence
from api.engine.speculation.repeats import Repeats
from api.engine.speculation.speculation import AdaptiveSpeculation, Speculation
from api.engine.speculation.verification_costs import VerificationCosts
from api.generator import BatchGenerator
from api.step_plan import SampledLogprobs, Slot, Span, StepOutput, StepPlan
from api.types import SamplingParams
from tests.engine.factories import GREEDY, Loop, create_budget, create_sequence
from tests.engine.fake_forwards import CountingForward, UniformForward
from tests.engine.fake_speculation import OracleSpeculation
from tests.engine.tiny_models import FLAT, VOCAB_SIZE, choose, draw_prompt, gpu_like_platform, platform

pytestmark = pytest.mark.usefixtures("tiny_classes")

NUM_ANSWER_TOKENS = 40
END = 3
SAMPLINGS: dict[str, SamplingParams] = {
    "greedy": GREEDY,
    "seeded": SamplingParams(temperature=1.0, seed=5),
    "filters": SamplingParams(temperature=0.8, top_p=0.9, top_k=40, min_p=0.01, seed=6, num_top_logprobs=3),
    "wide filters": SamplingParams(temperature=1.2, top_p=0.8, seed=7),
    "bias": replace(GREEDY, logit_bias=((7, 2.0), (9, -100.0)), num_top_logprobs=2),
    "min_tokens": SamplingParams(min_tokens=20, end_token_ids=tuple(range(0, 60, 2)), seed=8),
}
# A model's logits differ by rounding with the shapes that they are computed in.
NEAR = 1e-4


class SpeculatingLoop(Loop[BatchGenerator]):
    """Keeps the logprobs as well."""

    def __init__(self, chosen: ChosenForward, on: Platform, speculation: Speculation | None) -> None:
        token_bytes = chosen.slot_bytes(1)
        slots = SlotPool(KVMemory(4096 * token_bytes), context_length=512, slot_bytes=chosen.slot_bytes)
        memory = SequenceMemory(slots, NoPrefixCache())
        hundredths = itertools.count()  # time passes, the same for every step
        made = Scheduler(memory, create_budget(40), 8, lambda: next(hundredths) / 100, speculation)
        super().__init__(made, memory, BatchGenerator(chosen.forward, Sampler(on)))
        self.logprobs: dict[str, list[SampledLogprobs | None]] = {}

    def _take(self, outputs: list[StepOutput]) -> None:
        super()._take(outputs)
        for output in outputs:
            self.logprobs.setdefault(output.request_id, []).append(output.logprobs)


def create_prompt(number: int) -> list[int]:
    return draw_prompt(number, [2, 5, 17, 60])


def run(loop: SpeculatingLoop) -> dict[str, list[int]]:
    """All samplings at once. Returns their answers."""
    for number, sampling in enumerate(SAMPLINGS.values(), 1):
        loop.add(
            create_sequence(
                number,
                max_tokens=NUM_ANSWER_TOKENS,
                prompt=create_prompt(number),
                sampling=sampling,
                eos_token_ids=[END],
            )
        )
        loop.step()
    loop.run()
    loop.check_idle()
    return {f"r{i}": loop.results[f"r{i}"].token_ids for i in range(1, len(SAMPLINGS) + 1)}


def check_speculation(name: str, on: Platform) -> None:
    """Proposals from a plain run's answers, some of them spoilt, against that run."""
    chosen, _ = choose(name, on=on)
    assert chosen.can_rewind
    plain = SpeculatingLoop(chosen, on, None)
    answers = run(plain)

    def future_of(sequence: Sequence) -> list[int]:
        return answers[sequence.request_id][sequence.num_sampled :]

    speculation = OracleSpeculation(future_of, VOCAB_SIZE)
    loop = SpeculatingLoop(chosen, on, speculation)
    assert run(loop) == answers
    assert speculation.num_accepted_tokens > NUM_ANSWER_TOKENS
    assert speculation.num_accepted_tokens < speculation.num_proposed_tokens
    check_logprobs(loop, plain)


def check_logprobs(loop: SpeculatingLoop, plain: SpeculatingLoop) -> None:
    reported = 0
    for request_id, expected in plain.logprobs.items():
        for ours, theirs in zip(loop.logprobs[request_id], expected, strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None and theirs is not None:
                reported += 1
                assert ours.logprob == pytest.approx(theirs.logprob, abs=NEAR)
                values = [[value for _, value in each.top] for each in (ours, theirs)]
                assert np.allclose(values[0], values[1], atol=NEAR)
    assert reported > NUM_ANSWER_TOKENS


@pytest.mark.parametrize("name", FLAT)
def test_answers_are_those_of_plain_decoding(name: str) -> None:
    """Windows too: rows that were refused lie in their rings."""
    check_speculation(name, platform())


@pytest.mark.parametrize("name", ["llama", "gpt_oss"])
def test_the_gpu_path_gives_the_same(name: str) -> None:
    check_speculation(name, gpu_like_platform())


def test_a_text_that_repeats_itself_is_found_and_verified() -> None:
    """A tiny model's greedy answer soon runs in a circle."""
    chosen, _ = choose("llama")

    def answer(speculation: Speculation | None) -> SpeculatingLoop:
        loop = SpeculatingLoop(chosen, platform(), speculation)
        loop.add(create_sequence(prompt=create_prompt(1), max_tokens=200))
        loop.run()
        return loop

    plain = answer(None)
    loop = answer(AdaptiveSpeculation(VerificationCosts(create_budget(40)), [Repeats()]))
    assert loop.results["r1"].token_ids == plain.results["r1"].token_ids
    assert loop.scheduler.stats().num_accepted_tokens > 50
    assert sum(bool(plan.spans) for plan in loop.plans) < 150


# --- the generator alone -----------------------------------------------------------------------


def span(sequence_id: int, *token_ids: int, num_samples: int, index: int = 0) -> Span:
    return Span(sequence_id, Slot(64, sequence_id), 0, token_ids, num_samples, index)


def create_generator(forward: Forward, num_sequences: int, sampling: SamplingParams) -> BatchGenerator:
    """That knows the sequences 1, 2, .."""
    generator = BatchGenerator(forward, Sampler(platform()))
    for sequence_id in range(1, num_sequences + 1):
        generator.add(sequence_id, sampling)
    return generator


def test_each_row_of_a_span_with_proposals_gives_a_token_in_order() -> None:
    generator = create_generator(CountingForward(), 4, GREEDY)
    spans = (
        span(1, 5, num_samples=1),
        span(2, 10, 11, 30, num_samples=3),
        span(3, 1, 2, num_samples=0),
        span(4, 7, 8, num_samples=1),
    )
    generator.step(StepPlan(spans=spans))
    read = [(token.sequence_id, token.token_id) for token in generator.step(StepPlan())]
    assert read == [(1, 6), (2, 11), (2, 12), (2, 31), (4, 9)]


def test_a_token_in_flight_of_a_neighbour_is_found_beside_several_samples() -> None:
    generator = create_generator(CountingForward(), 2, GREEDY)
    generator.step(StepPlan(spans=(span(1, 5, num_samples=1), span(2, 10, 11, num_samples=2))))
    generator.step(StepPlan(spans=(span(1, num_samples=1),)))
    assert [token.token_id for token in generator.step(StepPlan())] == [7]


@pytest.mark.parametrize("sampling", [SamplingParams(seed=9), SamplingParams(seed=9, top_k=50)])
def test_rows_draw_what_they_would_draw_one_by_one(sampling: SamplingParams) -> None:
    generator = create_generator(UniformForward(), 1, sampling)
    generator.step(StepPlan(spans=(span(1, 1, 2, 3, 4, num_samples=4, index=7),)))
    together = [token.token_id for token in generator.step(StepPlan())]
    alone = []
    for index in range(7, 11):
        generator.step(StepPlan(spans=(span(1, 1, num_samples=1, index=index),)))
        alone += [token.token_id for token in generator.step(StepPlan())]
    assert together == alone and len(set(alone)) > 1
