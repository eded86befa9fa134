import json
from pathlib import Path

import pytest

from api.engine.loading.locate import ModelFiles
from api.errors import StartupError
from api.serving import memory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1000)
    (tmp_path / "tokenizer.json").write_bytes(b"x" * 5000)
    return tmp_path


@pytest.mark.parametrize(
    ("config", "factor"), [({}, 2), ({"quantization": {"bits": 4}}, 8), ({"quantization": {"bits": 8}}, 4)]
)
def test_widened_weights_grow_by_their_bits(folder: Path, config: dict[str, object], factor: int) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    files = ModelFiles(folder, ("m",))
    assert memory.weight_bytes(files, is_widened=True) == 1000 * factor
    assert memory.weight_bytes(files, is_widened=False) == 1000


def test_a_damaged_config_is_left_to_the_loader(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    assert memory.weight_bytes(ModelFiles(folder, ("m",)), is_widened=True) == 2000


def test_of_a_gguf_only_the_file_counts(folder: Path) -> None:
    files = ModelFiles(folder, ("m",), gguf=folder / "tokenizer.json")
    assert memory.weight_bytes(files, is_widened=False) == 5000


def test_workers_that_do_not_fit_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "shared_free_bytes", lambda: 3500)
    files = ModelFiles(folder, ("m",))
    memory.require_room(files, 3, "keep")
    with pytest.raises(StartupError, match="4 workers need"):
        memory.require_room(files, 4, "keep")


def test_what_each_worker_is_to_have_for_its_chats_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "shared_free_bytes", lambda: 3500)
    files = ModelFiles(folder, ("m",))
    memory.require_room(files, 2, "keep", kv_memory_bytes=750)
    with pytest.raises(StartupError, match="for their weights and --kv-memory"):
        memory.require_room(files, 2, "keep", kv_memory_bytes=751)


def test_where_nobody_knows_the_free_memory_nothing_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "shared_free_bytes", lambda: None)
    memory.require_room(ModelFiles(folder, ("m",)), 10**9, "keep")
