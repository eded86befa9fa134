from __future__ import annotations

import json
from typing import Any

import pytest

from api.engine.device.platform import cpu_platform, gpu_platform
from api.engine.tuning.choices import Tuning, first_guesses, from_json, to_json

TUNING = Tuning(
    max_step_tokens=512,
    first_chunk_tokens=64,
    row_multiple=8,
    compiles_steps=True,
    noise="device",
    early_limit_bytes=3e6,
    step_seconds={1: 0.01, 512: 0.25},
    gains={"compiled": 1.21},
)


def test_a_file_gives_back_what_it_was_given() -> None:
    assert from_json(json.loads(json.dumps(to_json(TUNING)))) == TUNING


@pytest.mark.parametrize(
    "change",
    [{"max_step_tokens": 0}, {"row_multiple": 0}, {"noise": "elsewhere"}, {"step_seconds": {"x": 1}}],
)
def test_what_is_no_tuning_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        from_json(to_json(TUNING) | change)


def test_a_person_reads_what_was_chosen_and_by_how_much() -> None:
    assert TUNING.describe() == (
        "512 rows a step, rows filled up to 8, random numbers on the device, decode steps compiled, "
        "dispatch before the read up to 3 MB; compiled 1.21x"
    )


def test_the_guesses_are_the_platforms() -> None:
    assert first_guesses(cpu_platform()).noise == "host"
    assert first_guesses(gpu_platform()).compiles_steps
    assert first_guesses(gpu_platform()).max_step_tokens == gpu_platform().max_step_tokens
