from __future__ import annotations

from api.engine.prompt_chunks import choose_chunks
from api.engine.prompt_wave import prompts_of_wave
from api.engine.sequence import Sequence
from api.engine.step_budget import StepBudget
from tests.engine.factories import create_sequence

# A step of 8 rows takes 0.1 s, and reading 64 tokens 0.4 s.
SECONDS = {1: 0.05, 8: 0.1, 64: 0.4}


def create_budget() -> StepBudget:
    return StepBudget(stall_seconds=0.1, max_step_tokens=64, first_chunk_tokens=16, step_seconds=SECONDS)


def prompts(*num_tokens: int) -> list[Sequence]:
    return [create_sequence(i, prompt=list(range(1, n + 1))) for i, n in enumerate(num_tokens)]


def choose(
    reading: list[Sequence], num_decode_rows: int = 0, now_seconds: float = 0.0
) -> list[tuple[int, int]]:
    """(number of the prompt, rows) of the next step, which then counts as computed."""
    budget = create_budget()
    waiting = [sequence for sequence in reading if sequence.num_remaining]
    chosen = choose_chunks(waiting, num_decode_rows, budget, lambda s: s.num_remaining, now_seconds)
    for sequence, num_rows in chosen:
        sequence.compute(num_rows)
    return [(sequence.sequence_id, num_rows) for sequence, num_rows in chosen]


def test_prompts_that_come_together_are_finished_together() -> None:
    reading = prompts(40, 40, 40)
    assert choose(reading) == [(0, 39), (1, 25)]
    assert choose(reading) == [(0, 1), (1, 15), (2, 40)]  # what is left fits one step


def test_a_prompt_alone_waits_for_nobody() -> None:
    assert choose(prompts(100)) == [(0, 64)]
    assert choose(prompts(30)) == [(0, 30)]


def test_what_fits_one_step_is_read_in_it() -> None:
    assert choose(prompts(20, 20, 20)) == [(0, 20), (1, 20), (2, 20)]


def test_beside_running_streams_each_goes_for_itself() -> None:
    reading = prompts(10, 40, 40)
    assert choose(reading, num_decode_rows=2)[0] == (0, 10)


def test_nobody_waits_for_a_prompt_that_takes_long() -> None:
    reading = prompts(30, 30, 3000)
    assert list(prompts_of_wave(reading, create_budget(), 0.0)) == reading[:2]
    assert choose(reading) == [(0, 30), (1, 30), (2, 4)]


def test_newcomers_do_not_put_it_off_for_ever() -> None:
    reading = prompts(40, 40)
    assert prompts_of_wave(reading, create_budget(), 0.0)
    assert not prompts_of_wave(reading, create_budget(), now_seconds=60.0)
    assert choose(reading, now_seconds=60.0) == [(0, 40), (1, 24)]


def test_who_waits_with_its_last_token_takes_no_room() -> None:
    reading = prompts(10, 200)
    first = choose(reading)
    assert first == [(0, 9), (1, 55)]
    assert choose(reading) == [(1, 64)]
    assert choose(reading) == [(1, 64)]
    assert choose(reading) == [(0, 1), (1, 17)]


def test_who_catches_up_with_an_answer_holds_nothing_back() -> None:
    """Its last token makes no first one: without it, it would count as decoding."""
    reading = prompts(40, 40)
    reading[0].token_ids += [7, 8]
    assert not prompts_of_wave(reading, create_budget(), 0.0)
    assert choose(reading) == [(0, 42), (1, 22)]
