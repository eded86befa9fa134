from __future__ import annotations

from typing import Any

import pytest

from benchmarks.device.fit import choose_models, usable_bytes
from benchmarks.device.shapes import REAL, TINY
from tests.engine.fake_devices import GIB, H200, M2_AIR, M3_ULTRA, RTX_4090

HOURS = 10_000.0


def taken(info: dict[str, Any], seconds: float = HOURS) -> list[str]:
    return [choice.shape.name for choice in choose_models(info, False, "auto", seconds) if choice.is_taken]


@pytest.mark.parametrize(
    ("info", "num_bytes"),
    [(M2_AIR, M2_AIR["max_recommended_working_set_size"]), (RTX_4090, 23 * GIB), ({}, None)],
)
def test_each_backend_says_in_its_own_way_what_can_be_used(info: dict[str, Any], num_bytes: int) -> None:
    assert usable_bytes(info, is_cpu=False) == num_bytes


def test_a_small_mac_gets_the_models_that_fit_and_the_reason_for_the_others() -> None:
    assert taken(M2_AIR) == ["qwen3-0.6b-4bit", "qwen3-8b-4bit", "lfm2-1.2b-bf16", "qwen3-0.6b-bf16"]
    reasons = [choice.reason for choice in choose_models(M2_AIR, False, "auto", HOURS) if choice.reason]
    assert all("needs" in reason and "11 GB can be used" in reason for reason in reasons)


def test_larger_devices_get_more() -> None:
    assert "qwen3-8b-bf16" in taken(RTX_4090)
    assert "qwen3-30b-a3b-bf16" not in taken(RTX_4090)
    assert taken(M3_ULTRA) == taken(H200) == [shape.name for shape in REAL]
    assert taken({}) == [shape.name for shape in REAL]  # nobody says: the models' own loads will


def test_little_time_leaves_out_what_is_worth_least() -> None:
    names = taken(H200, seconds=200)
    assert names == [shape.name for shape in REAL][: len(names)]
    assert 0 < len(names) < len(REAL)
    late = choose_models(H200, False, "auto", 200)[-1]
    assert "--minutes" in late.reason


@pytest.mark.parametrize(("is_cpu", "sizes"), [(True, "auto"), (True, "tiny"), (False, "tiny")])
def test_a_cpu_gets_tiny_ones_and_so_does_who_asks_for_them(is_cpu: bool, sizes: Any) -> None:
    choices = choose_models({"device_name": "x"}, is_cpu, sizes, 60)
    assert [choice.shape for choice in choices if choice.is_taken] == list(TINY)
