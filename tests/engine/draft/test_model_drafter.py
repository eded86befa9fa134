"""A draft model through the whole engine over tiny random models: answers are plain decoding's."""

from __future__ import annotations

import mlx.core as mx
import pytest

from api.engine.device.platform import Platform
from api.engine.draft.drafter import Drafted
from api.engine.draft.model_drafter import ModelDrafter, Vocabularies
from api.engine.sampling.sampler import Sampler
from api.engine.sampling.state import Row
from api.generator import BatchGenerator
from api.step_plan import DRAFTED, Draft, Slot, Span, StepPlan
from api.types import SamplingParams
from tests.engine.draft.eager_drafts import EagerDrafts, create_drafter, create_loop
from tests.engine.factories import GREEDY, Loop, create_sequence
from tests.engine.tiny_models import VOCAB_SIZE, choose, draw_prompt, gpu_like_platform, platform

pytestmark = pytest.mark.usefixtures("tiny_classes")

NUM_ANSWER_TOKENS = 24
SAMPLINGS = (
    GREEDY,
    SamplingParams(temperature=1.0, seed=5),
    SamplingParams(temperature=0.8, top_p=0.9, top_k=40, min_p=0.01, seed=6, num_top_logprobs=3),
    SamplingParams(temperature=1.2, top_p=0.8, seed=7),
    SamplingParams(temperature=0.0, logit_bias=((7, 2.0), (9, -100.0))),
    SamplingParams(min_tokens=20, end_token_ids=tuple(range(0, 60, 2)), seed=8),
    SamplingParams(temperature=0.0, presence_penalty=1.0),
)


def create_prompt(number: int) -> list[int]:
    return draw_prompt(number, [2, 5, 17, 60])


def run(loop: Loop[BatchGenerator], cancelled: str = "") -> dict[str, list[int]]:
    for number, sampling in enumerate(SAMPLINGS, 1):
        prompt = create_prompt(number)
        loop.add(create_sequence(number, max_tokens=NUM_ANSWER_TOKENS, prompt=prompt, sampling=sampling))
        loop.step()
    for _ in range(5 if cancelled else 0):
        loop.step()
    if cancelled:
        loop.cancel(cancelled)
    loop.run()
    loop.check_idle()
    return {request_id: result.token_ids for request_id, result in loop.results.items()}


def check_drafts(target: str, draft: str, on: Platform, **how: int) -> EagerDrafts:
    """Answers with drafts against those without; slots are outgrown, moved and, in little memory, taken."""
    chosen, _ = choose(target, on=on)
    drafting, _ = choose(draft, on=on)
    answers = run(create_loop(chosen, on, None, None))
    speculation = EagerDrafts()
    drafter = create_drafter(drafting, on)
    loop = create_loop(chosen, on, speculation, drafter, **how)
    assert run(loop) == answers
    assert drafter.state() == []  # its slots went with the others
    assert any(plan.moves for plan in loop.plans)
    assert speculation.num_proposed_tokens > NUM_ANSWER_TOKENS
    return speculation


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt_oss", "deepseek_v3"])
def test_a_model_that_drafts_for_itself_is_always_right(name: str) -> None:
    """Rows that are drawn too: the draft draws with the same noise. Windows, experts and latent KV."""
    speculation = check_drafts(name, name, platform())
    assert speculation.num_accepted_tokens > 0.9 * speculation.num_proposed_tokens


@pytest.mark.parametrize(("target", "draft"), [("llama", "gpt_oss"), ("gemma3", "qwen3")])
def test_a_model_that_is_often_wrong_changes_nothing(target: str, draft: str) -> None:
    speculation = check_drafts(target, draft, platform())
    assert speculation.num_accepted_tokens < 0.5 * speculation.num_proposed_tokens


def test_the_gpu_path_gives_the_same() -> None:
    speculation = check_drafts("llama", "llama", gpu_like_platform())
    assert speculation.num_accepted_tokens > 0.9 * speculation.num_proposed_tokens


def test_a_sequence_that_steps_back_begins_anew_in_the_draft_too() -> None:
    chosen, _ = choose("llama")
    answers = run(create_loop(chosen, platform(), None, None))
    speculation = EagerDrafts()
    loop = create_loop(chosen, platform(), speculation, create_drafter(choose("llama")[0], platform()), 130)
    assert run(loop) == answers
    assert loop.scheduler.stats().num_preemptions > 0
    assert speculation.num_accepted_tokens > 0.9 * speculation.num_proposed_tokens


def test_one_that_leaves_midway_leaves_the_others_as_they_were() -> None:
    chosen, _ = choose("llama")
    answers = run(create_loop(chosen, platform(), None, None))
    loop = create_loop(chosen, platform(), EagerDrafts(), create_drafter(choose("llama")[0], platform()))
    found = run(loop, cancelled="r2")
    assert {k: v for k, v in found.items() if k != "r2"} == {k: v for k, v in answers.items() if k != "r2"}


def test_tokens_that_both_models_share_are_proposed_and_no_others() -> None:
    speculation = EagerDrafts()
    chosen, _ = choose("llama")
    drafter = create_drafter(choose("llama")[0], platform(), num_shared=30)
    answers = run(create_loop(chosen, platform(), None, None))
    proposed: list[int] = []
    read = Drafted.read

    def spy(drafted: Drafted) -> list[object]:
        found = read(drafted)
        proposed.extend(token for each in found for token in each.token_ids)
        return list(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Drafted, "read", spy)
        assert run(create_loop(chosen, platform(), speculation, drafter)) == answers
    assert proposed and max(proposed) < 30
    assert max(token for answer in answers.values() for token in answer) >= 30


def test_a_token_that_the_draft_model_lacks_is_another_one_to_it() -> None:
    chosen, _ = choose("llama")
    drafter = ModelDrafter(chosen.forward, Sampler(platform()), Vocabularies(50, 50, VOCAB_SIZE))
    slot = Slot(16, 0)
    span = Span(1, slot, 2, (60, DRAFTED, DRAFTED), 3, 0)
    draft = Draft(1, slot, 0, (99, 98, 60), 2)
    plan = StepPlan(num_slots=((16, 1),), drafts=(draft,), spans=(span,))
    drafted = drafter(plan, [Row(1, GREEDY, index) for index in range(3)])
    assert drafted is not None
    [tokens] = drafted.read()
    assert len(tokens.token_ids) == 2 and max(tokens.token_ids) < 50


def test_depths_may_differ_and_each_finds_its_place() -> None:
    drafted = Drafted((7, 4), (2, 1), mx.array([70, 71, 40], dtype=mx.int32))
    slot = Slot(16, 0)
    spans = (
        Span(1, slot, 0, (5,), 1, 0),
        Span(4, slot, 0, (6, DRAFTED), 2, 0),
        Span(7, slot, 0, (8, DRAFTED, DRAFTED), 3, 0),
    )
    token_ids = mx.array([token for span in spans for token in span.token_ids], dtype=mx.int32)
    assert drafted.fill(spans, token_ids).tolist() == [5, 6, 40, 8, 70, 71]
    assert [(each.sequence_id, each.token_ids) for each in drafted.read()] == [(7, (70, 71)), (4, (40,))]
