from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from api.engine.memory.plan import Needs, kv_budget, require_step
from api.errors import StartupError

GIB = 2**30
NEEDS = Needs(step_bytes=2 * GIB, process_bytes=GIB, copy_share=0.25)


@pytest.mark.parametrize(
    ("num_workers", "weight_gib", "wanted_gib"),
    [(1, 4, 17.0), (2, 4, 6.5), (2, 100, 4.25)],  # of 20 GiB free; at least half of the plain share
)
def test_workers_leave_room_for_each_others_weights(
    num_workers: int, weight_gib: int, wanted_gib: float
) -> None:
    budget_bytes = kv_budget(None, 20 * GIB, Needs(), num_workers, weight_gib * GIB)
    assert budget_bytes == pytest.approx(wanted_gib * GIB, rel=1e-6)


@pytest.mark.parametrize("free_gib", [0.5, 1, 3, 3.1, 4, 8, 20, 200])
@pytest.mark.parametrize("num_workers", [1, 3])
def test_what_nobody_asked_for_fits_with_all_that_a_step_takes(free_gib: float, num_workers: int) -> None:
    free_bytes = int(free_gib * GIB)
    taken_bytes = kv_budget(None, free_bytes, NEEDS, num_workers) * 1.25 + 3 * GIB
    assert taken_bytes == 3 * GIB or num_workers * taken_bytes <= free_bytes


def test_a_small_machine_is_used_too() -> None:
    assert kv_budget(None, GIB, Needs(step_bytes=GIB // 4)) == GIB // 2
    assert kv_budget(None, None, Needs()) == 0


def test_what_is_asked_for_is_given_as_far_as_it_fits() -> None:
    assert kv_budget(8 * GIB, 13 * GIB, NEEDS) == 8 * GIB
    with pytest.raises(
        StartupError, match=r"--kv-memory asks for 8.6 GB, but 14.0 GB are free beside the weigh"
    ):
        kv_budget(8 * GIB + 1, 13 * GIB, NEEDS)
    with pytest.raises(StartupError, match=r"of which steps take up to 3.2 GB; at most 8.6 GB fit"):
        kv_budget(99 * GIB, 13 * GIB, NEEDS)
    with pytest.raises(StartupError, match="at most 0 MB fit"):
        kv_budget(1, GIB, NEEDS)
    assert kv_budget(99 * GIB, None, NEEDS) == 99 * GIB  # nobody says what there is


def test_a_worker_that_comes_back_takes_what_its_siblings_leave_and_says_so() -> None:
    with capture_logs() as lines:
        assert kv_budget(9 * GIB, 13 * GIB, NEEDS, num_workers=2) == 8 * GIB
    assert [line["log_level"] for line in lines] == ["warning"]


def test_without_room_for_a_step_nothing_is_tried() -> None:
    require_step(None, NEEDS)
    require_step(3 * GIB + 1, NEEDS)
    with pytest.raises(
        StartupError, match=r"too little memory: a step takes up to 3.2 GB, but 3.2 GB are free"
    ):
        require_step(3 * GIB, NEEDS)
