from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.engine.device.platform import cpu_platform, gpu_platform
from api.engine.tuning.choices import Tuning, TuningMemory, first_guesses, from_json, to_json

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


def test_what_was_measured_is_remembered_for_its_device_alone(tmp_path: Path) -> None:
    TuningMemory(tmp_path, ("m1", "model")).save(TUNING)
    TuningMemory(tmp_path, ("m2", "model")).save(replace(TUNING, row_multiple=1))
    assert TuningMemory(tmp_path, ("m1", "model")).load() == TUNING
    assert TuningMemory(tmp_path, ("m3", "model")).load() is None
    assert len(list((tmp_path / "tuning").iterdir())) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"row_multiple": 3}', "\x00"])
def test_a_damaged_file_is_as_none(tmp_path: Path, text: str) -> None:
    memory = TuningMemory(tmp_path, "key")
    memory.save(TUNING)
    next((tmp_path / "tuning").iterdir()).write_text(text)
    assert memory.load() is None
    memory.save(TUNING)
    assert memory.load() == TUNING


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "tuning").write_text("a file where the folder should be")
    memory = TuningMemory(tmp_path, "key")
    memory.save(TUNING)
    assert memory.load() is None


def test_what_a_busy_machine_gave_holds_for_a_while(tmp_path: Path) -> None:
    memory = TuningMemory(tmp_path, "key")
    memory.save(replace(TUNING, is_settled=False))
    assert memory.load() == replace(TUNING, is_settled=False)
    os.utime(next((tmp_path / "tuning").iterdir()), (0, 0))
    assert memory.load() is None
    memory.save(TUNING)
    os.utime(next((tmp_path / "tuning").iterdir()), (0, 0))
    assert memory.load() == TUNING
