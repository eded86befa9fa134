from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.engine.loading.generation_config import describe, read_sampling_defaults
from api.errors import StartupError
from api.types import SamplingDefaults


def read(folder: Path, content: Any) -> tuple[SamplingDefaults, list[str]]:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "generation_config.json").write_text(text)
    complaints: list[str] = []
    return read_sampling_defaults(folder, complaints.append), complaints


def test_what_stands_there_is_taken_and_nothing_else(tmp_path: Path) -> None:
    content = {
        "do_sample": True,
        "temperature": 0.6,
        "top_k": 20,
        "top_p": 0.95,
        "min_p": 0,
        "repetition_penalty": 1.05,
        "max_new_tokens": 2048,
        "max_length": 20,
        "eos_token_id": [1, 2],
        "num_beams": 4,
    }
    defaults = SamplingDefaults(0.6, 0.95, 20, 0, 1.05, 2048)
    assert read(tmp_path, content) == (defaults, [])
    line = describe(defaults)
    assert line is not None
    assert "temperature 0.6, top_p 0.95, top_k 20, min_p 0, repetition_penalty 1.05, max_tokens 2048" in line


@pytest.mark.parametrize("content", [{}, {"temperature": None, "do_sample": None}, {"do_sample": True}])
def test_an_empty_file_recommends_nothing(tmp_path: Path, content: dict[str, Any]) -> None:
    assert read(tmp_path, content) == (SamplingDefaults(), [])
    assert describe(SamplingDefaults()) is None


def test_a_folder_without_the_file_recommends_nothing(tmp_path: Path) -> None:
    assert read_sampling_defaults(tmp_path, pytest.fail) == SamplingDefaults()


def test_no_sampling_is_greedy(tmp_path: Path) -> None:
    content = {"do_sample": False, "temperature": 0.6, "top_k": 5}
    assert read(tmp_path, content) == (SamplingDefaults(temperature=0.0, top_k=5), [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "0.6"),
        ("temperature", True),
        ("temperature", -0.1),
        ("temperature", 2.5),
        ("temperature", 10**400),
        ("temperature", [0.6]),
        ("top_p", 1.5),
        ("top_p", -1),
        ("top_k", 20.0),
        ("top_k", -2),
        ("top_k", 2**40),
        ("min_p", {}),
        ("repetition_penalty", 0),
        ("max_new_tokens", 0),
        ("do_sample", "no"),
    ],
)
def test_a_value_that_is_none_is_named_and_ignored(tmp_path: Path, name: str, value: Any) -> None:
    defaults, complaints = read(tmp_path, {name: value, "top_p" if name != "top_p" else "top_k": 1})
    assert getattr(defaults, name, None) is None
    (complaint,) = complaints
    assert name in complaint
    assert len(complaint) < 200


@pytest.mark.parametrize("text", ["", "{", '{"top_k": ' + "9" * 5000 + "}", "[" * 100_000])
def test_a_broken_file_is_said_and_ignored(tmp_path: Path, text: str) -> None:
    defaults, complaints = read(tmp_path, text)
    assert defaults == SamplingDefaults()
    assert len(complaints) == 1


def test_not_a_number_is_ignored(tmp_path: Path) -> None:
    defaults, complaints = read(tmp_path, '{"temperature": NaN, "top_p": Infinity}')
    assert (defaults, len(complaints)) == (SamplingDefaults(), 2)


def test_a_file_without_an_object_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="no generation config"):
        read(tmp_path, [1])
