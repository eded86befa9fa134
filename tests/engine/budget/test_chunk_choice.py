from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from api.engine.budget.chunk_choice import Chunk, Running, choose_chunk
from api.engine.budget.prompt_line import PromptLine

STALL = 0.130
SIZES = (8, 16, 24, 32, 48, 64, 96, 128, 256, 512)
RUNNING = Running(plain_seconds=0.080, full_seconds=0.090, num_streams=9)


def chunks(added: Callable[[int], float]) -> list[Chunk]:
    return [Chunk(size, added(size), added(size)) for size in SIZES]


def choose(added: Callable[[int], float], *prompts: int, lateness: float = 0.0) -> Chunk:
    return choose_chunk(chunks(added), RUNNING, STALL, PromptLine(prompts, lateness))


def test_a_prompt_is_spread_over_a_few_steps_where_rows_cost_the_same() -> None:
    assert choose(lambda n: n * 0.003, 90).num_rows == 32
    assert choose(lambda n: n * 0.003, 40).num_rows == 16


def test_rows_that_add_little_are_read_at_once() -> None:
    assert choose(lambda n: n * 0.0004, 90).num_rows == 96


def test_free_rows_are_all_taken() -> None:
    assert choose(lambda n: 0.0 if n <= 64 else 0.05, 30).num_rows == 64


def test_of_free_sizes_that_were_not_measured_the_next_is_tried() -> None:
    possible = [Chunk(8, 0.0, 0.0), Chunk(16, 0.0, 0.0), Chunk(24, 0.045, 0.001), Chunk(32, 0.09, 0.001)]
    assert choose_chunk(possible, RUNNING, STALL, PromptLine((16,))).num_rows == 24


def test_the_target_is_kept_until_prompts_are_very_late() -> None:
    for lateness in (0.0, 0.5, 1.0, 1.5):
        assert choose(lambda n: n * 0.003, 5000, lateness=lateness).num_rows == 32
    assert choose(lambda n: n * 0.003, *[200] * 20, lateness=4.0).num_rows > 32


def test_one_long_prompt_alone_never_breaks_the_target() -> None:
    assert choose(lambda n: n * 0.003, 100_000, lateness=50.0).num_rows == 32


def test_no_line_takes_more_than_two_steps_of_all_streams() -> None:
    chunk = choose(lambda n: n * 0.003, *[5000] * 30, lateness=1000.0)
    assert STALL < chunk.added_seconds <= 2 * RUNNING.full_seconds


def test_dear_chunks_are_left_until_prompts_are_late() -> None:
    """Half of a tile of 16 rows is free beside 8 streams."""

    def added(num_rows: int) -> float:
        return 0.080 * (-(-(8 + num_rows) // 16) - 1)

    assert choose(added, 60).num_rows == 8
    assert choose(added, 60, lateness=1.5).num_rows == 24


def test_where_none_keeps_the_target_the_smallest_that_loses_little() -> None:
    assert choose(lambda n: n * 0.02, 100).num_rows == 8
    assert choose(lambda n: 0.2, 100).num_rows >= 96  # as dear as the smallest
    assert choose(lambda n: 0.2 + n * 0.005, 1000).num_rows in (48, 64, 96)


def test_the_target_gives_way_by_as_much_as_throughput_gains() -> None:
    """Another kernel takes a little more than the target, for any number of rows."""
    assert choose(lambda n: n * 0.005 if n <= 24 else 0.14, 300).num_rows >= 96
    assert choose(lambda n: n * 0.005 if n <= 24 else 0.30, 300).num_rows == 24


def test_a_size_that_may_be_better_is_tried_where_the_line_fills_it() -> None:
    possible = [Chunk(8, 0.0, 0.0), Chunk(24, 0.09, 0.09), Chunk(40, 0.12, 0.0)]
    assert choose_chunk(possible, RUNNING, STALL, PromptLine((40,))).num_rows == 40
    assert choose_chunk(possible, RUNNING, STALL, PromptLine((20,))).num_rows == 8


@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), min_size=1, max_size=10),
    st.floats(0, 10),
    st.floats(1e-6, 1),
    st.lists(st.integers(1, 10_000), max_size=40),
    st.floats(0, 1000),
)
def test_one_of_the_chunks_is_chosen_and_none_for_nothing(
    added: list[tuple[float, float]],
    plain_seconds: float,
    full_seconds: float,
    prompts: list[int],
    lateness: float,
) -> None:
    possible = [Chunk(8 * (i + 1), seconds, share * seconds) for i, (seconds, share) in enumerate(added)]
    running = Running(plain_seconds, full_seconds, 9)
    chosen = choose_chunk(possible, running, STALL, PromptLine(tuple(prompts), lateness))
    assert chosen in possible
    within = [chunk for chunk in possible if chunk.added_seconds <= STALL]
    if within and chosen.added_seconds > STALL and lateness <= 1:
        gain = min(running.cost(chunk) for chunk in within) / running.cost(chosen)
        assert chosen.added_seconds <= STALL * gain * 1.0001
