from __future__ import annotations

from api.engine.budget.step_budget import StepBudget
from api.engine.scheduling.prompt_chunks import choose_chunks
from api.engine.scheduling.prompt_wave import PromptWave, pause_seconds
from api.engine.sequences.sequence import Sequence
from tests.engine.factories import create_sequence

# A step of 8 rows takes 0.1 s, and prefill of 64 tokens 0.4 s.
SECONDS = {1: 0.05, 8: 0.1, 64: 0.4}


def create_budget() -> StepBudget:
    return StepBudget(stall_seconds=0.1, max_step_tokens=64, first_chunk_tokens=16, step_seconds=SECONDS)


def prompts(*num_tokens: int) -> list[Sequence]:
    return [create_sequence(i, prompt=list(range(1, n + 1))) for i, n in enumerate(num_tokens)]


class Steps:
    """Plans and computes steps of these sequences, as the scheduler does."""

    def __init__(self, sequences: list[Sequence]) -> None:
        self.sequences = sequences
        self.budget = create_budget()
        self.wave = PromptWave(self.budget)

    def step(self, now_seconds: float = 0.0) -> list[tuple[int, int]]:
        """(number of the prompt, rows) of the next step; those that decode come first."""
        decoding = [s for s in self.sequences if s.is_decoding]
        prefilling = [s for s in self.sequences if not s.is_decoding and s.num_remaining]
        waits = self.wave.waits(decoding, prefilling, now_seconds)
        chosen = [] if waits.decoding else [(s, 1) for s in decoding]
        chosen += choose_chunks(
            prefilling, len(chosen), self.budget, lambda s: s.num_remaining, now_seconds, waits.last_token_ids
        )
        for sequence, num_rows in chosen:
            if sequence.num_in_flight:
                sequence.receive(7)
            sequence.dispatch(num_rows)
        return [(sequence.sequence_id, num_rows) for sequence, num_rows in chosen]


def test_prompts_that_come_together_are_finished_together() -> None:
    steps = Steps(prompts(40, 40, 40))
    assert steps.step() == [(0, 39), (1, 25)]
    assert steps.step() == [(0, 1), (1, 15), (2, 40)]  # what is left fits one step
    assert steps.step() == [(0, 1), (1, 1), (2, 1)]


def test_a_prompt_alone_waits_for_nobody() -> None:
    assert Steps(prompts(100)).step() == [(0, 64)]
    assert Steps(prompts(30)).step() == [(0, 30)]


def test_what_fits_one_step_is_prefilled_in_it() -> None:
    assert Steps(prompts(20, 20, 20)).step() == [(0, 20), (1, 20), (2, 20)]


def test_beside_running_streams_each_goes_for_itself() -> None:
    running, *prefilling = prompts(10, 10, 40, 40)
    steps = Steps([running])
    assert steps.step() == [(0, 10)]
    steps.sequences += prefilling
    assert steps.step()[:2] == [(0, 1), (1, 10)]


def test_nobody_waits_for_a_prompt_that_takes_long() -> None:
    assert Steps(prompts(30, 30, 3000)).step() == [(0, 30), (1, 30), (2, 4)]


def test_newcomers_do_not_put_it_off_for_ever() -> None:
    assert Steps(prompts(40, 40)).step(now_seconds=60.0) == [(0, 40), (1, 24)]


def test_who_waits_with_its_last_token_takes_no_room() -> None:
    steps = Steps(prompts(10, 105))
    assert steps.step() == [(0, 9), (1, 55)]
    assert steps.step() == [(0, 1), (1, 50)]


def test_who_is_prefilled_long_before_the_others_begins_and_waits_for_its_second_token() -> None:
    # Five steps of prefill, of 0.4 s each; a decode step of five takes 0.08 s, twelve of them 0.96 s.
    steps = Steps(prompts(64, 64, 64, 64, 64))
    assert steps.step() == [(0, 64)]
    assert steps.step() == [(1, 64)]
    assert steps.step() == [(2, 63), (3, 1)]
    assert steps.step() == [(3, 62), (4, 2)]
    assert steps.step() == [(2, 1), (3, 1), (4, 62)]
    assert steps.step() == [(i, 1) for i in range(5)]


def test_a_stream_that_was_there_before_the_wave_waits_for_nobody() -> None:
    steps = Steps(prompts(64))
    steps.step()
    steps.sequences += prompts(64, 64, 64, 64, 64)[1:]
    assert steps.step()[0] == (0, 1)


def test_streams_whose_wave_has_ended_wait_for_nobody_who_comes_later() -> None:
    """Also where nothing is known of the device, so that all of them count as early."""
    *first, later = prompts(5, 5, 64)
    steps = Steps(first)
    steps.budget = StepBudget(stall_seconds=0.1, max_step_tokens=64, first_chunk_tokens=16)
    steps.wave = PromptWave(steps.budget)
    assert steps.step() == [(0, 5), (1, 5)]
    assert steps.step() == [(0, 1), (1, 1)]
    steps.sequences.append(later)
    assert steps.step()[:2] == [(0, 1), (1, 1)]


def test_who_catches_up_with_an_answer_holds_nothing_back() -> None:
    """Its last token makes no first one: without it, it would count as decoding."""
    prefilling = prompts(40, 40)
    prefilling[0].token_ids += [7, 8]
    assert Steps(prefilling).step() == [(0, 42), (1, 22)]


def test_the_first_step_waits_for_a_small_part_of_what_it_takes() -> None:
    budget = create_budget()
    assert pause_seconds([], budget) == 0
    assert pause_seconds(prompts(32), budget) == 0.04 * budget.prefill_seconds(32)
    assert pause_seconds(prompts(3000, 32), budget) == pause_seconds(prompts(32), budget)
    assert pause_seconds(prompts(3000), budget) == 0.02


def test_nothing_is_waited_for_on_a_device_that_nobody_knows() -> None:
    unknown = StepBudget(stall_seconds=0.1, max_step_tokens=64, first_chunk_tokens=16)
    assert pause_seconds(prompts(32), unknown) == 0
