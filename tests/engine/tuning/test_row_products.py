from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from api.engine.tuning.row_products import ROWS, best_row_multiple, measure_row_seconds

Cost = Callable[[int], float]


def filled(num_rows: int, multiple: int) -> int:
    return -(-num_rows // multiple) * multiple


def ragged(multiple: int, penalty: float) -> Cost:
    """What is no multiple takes longer than the next one."""
    return lambda n: (10 + filled(n, multiple)) * (1.0 if n % multiple == 0 else penalty)


def bound_by_memory(num_rows: int) -> float:
    return 50.0


def bound_by_arithmetic(num_rows: int) -> float:
    return float(num_rows)


def filled_up_by_the_library(num_rows: int) -> float:
    return float(filled(num_rows, 8))


def bound_by_one_after_the_other(num_rows: int) -> float:
    return max(30.0, float(num_rows))


DEVICES = [
    (bound_by_memory, 1),
    (bound_by_arithmetic, 1),
    (filled_up_by_the_library, 1),
    (bound_by_one_after_the_other, 1),
    (ragged(4, 1.6), 4),
    (ragged(16, 1.7), 16),
]


@pytest.mark.parametrize(("cost", "wanted"), [*DEVICES, (ragged(8, 1.6), 8)])
def test_a_multiple_is_taken_where_it_gains(cost: Cost, wanted: int) -> None:
    assert best_row_multiple({n: cost(n) for n in ROWS}) == wanted


@pytest.mark.parametrize(("cost", "wanted"), DEVICES)
def test_noise_makes_no_difference(cost: Cost, wanted: int) -> None:
    draw = random.Random(3)
    chosen = [best_row_multiple({n: cost(n) * draw.uniform(0.8, 1.2) for n in ROWS}) for _ in range(300)]
    assert chosen.count(wanted) >= 294


def test_a_gain_at_a_few_sizes_that_costs_more_at_the_others_is_none() -> None:
    cost = {n: float(n) for n in ROWS}
    cost[28] *= 1.7
    assert best_row_multiple(cost) == 1


def test_only_candidates_are_chosen() -> None:
    seconds = {n: ragged(16, 1.7)(n) for n in ROWS}
    assert best_row_multiple(seconds, candidates=(1, 8)) in (1, 8)
    assert best_row_multiple(seconds, candidates=(1,)) == 1


@pytest.mark.parametrize("seconds", [{}, {5: 1.0}, {16: 1.0}, {3: 1.0, 5: 2.0}])
def test_too_few_times_choose_nothing(seconds: dict[int, float]) -> None:
    assert best_row_multiple(seconds) == 1


def test_every_size_and_what_it_is_filled_up_to_is_measured() -> None:
    assert all(filled(n, multiple) in ROWS for n in ROWS for multiple in (1, 4, 8, 16))


def test_products_are_timed_for_every_number_of_rows() -> None:
    seconds = measure_row_seconds([(64, 32), (32, 64)], rows=(3, 16))
    assert list(seconds) == [3, 16]
    assert all(0 < each < math.inf for each in seconds.values())


def test_a_guess_stands_unless_another_clearly_gains() -> None:
    assert best_row_multiple(dict.fromkeys(ROWS, 50.0), guess=16) == 16
    assert best_row_multiple({n: float(n) for n in ROWS}, guess=16) == 1
    assert best_row_multiple({n: ragged(4, 1.6)(n) for n in ROWS}, guess=16) == 4
