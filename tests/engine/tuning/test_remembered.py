from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from api.engine.tuning.remembered import TuningMemory
from tests.engine.tuning.test_choices import TUNING


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
