from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from api.engine.device.host_arrays import HostArray
from api.engine.disk import writer as writer_module
from api.engine.disk.folder import open_folder, open_model_folder
from api.engine.disk.format import file_bytes, read_block
from api.engine.disk.index import DiskIndex
from api.engine.disk.writer import BlockWriter
from tests.engine.disk.blocks import LAYOUTS, create_arrays, create_chain

CHAIN = create_chain([1] * 12)
FILE_BYTES = file_bytes(CHAIN[0], LAYOUTS[0])


class Written:
    """A writer over a fresh folder, run to its end in the test's own thread."""

    def __init__(self, root: Path, limit_bytes: int = 10**6, queue_bytes: int = 10**6) -> None:
        self.folder = open_model_folder(open_folder(str(root)), "a" * 32, "tiny", 4)
        self.writer = BlockWriter(DiskIndex(root, limit_bytes), self.folder, queue_bytes)

    def offer(self, keys: Iterable[str]) -> None:
        for mark, key in enumerate(keys):
            self.writer.offer(key, LAYOUTS[0], lambda mark=mark: create_arrays(mark))  # type: ignore[misc]

    def finish(self) -> set[str]:
        self.writer.close()
        self.writer.run()
        return {path.stem for path in self.folder.glob("*.safetensors")}


def test_writes_what_was_offered_before_its_end(tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.offer(CHAIN)
    assert written.finish() == set(CHAIN)
    for mark, key in enumerate(CHAIN):
        arrays = read_block(written.folder / f"{key}.safetensors", key, LAYOUTS)
        assert bytes(arrays[0].data) == bytes(create_arrays(mark)[0].data)
    assert (written.writer.num_written, written.writer.num_skipped) == (3, 0)


def test_a_full_queue_skips_without_making_a_copy(tmp_path: Path) -> None:
    written = Written(tmp_path, queue_bytes=2 * LAYOUTS[0][0].num_bytes)
    written.offer(CHAIN[:2])

    def copy() -> list[HostArray]:
        raise AssertionError("nobody wants it")

    written.writer.offer(CHAIN[2], LAYOUTS[0], copy)
    assert written.finish() == set(CHAIN[:2])
    assert written.writer.num_skipped == 1


def test_the_queue_is_free_again_when_all_is_written(tmp_path: Path) -> None:
    written = Written(tmp_path, queue_bytes=LAYOUTS[0][0].num_bytes)
    thread = threading.Thread(target=written.writer.run)
    thread.start()
    for key in CHAIN:
        while not (written.folder / f"{key}.safetensors").exists():
            written.offer([key])
    written.writer.close()
    thread.join(5)
    assert written.writer.num_written == 3


def test_what_has_no_room_is_skipped(tmp_path: Path) -> None:
    written = Written(tmp_path, limit_bytes=2 * FILE_BYTES)
    written.offer(CHAIN)
    assert written.finish() == set(CHAIN[:2])
    assert written.writer.num_skipped == 1


def test_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    for wanted in (3, 0):
        written = Written(tmp_path)
        written.offer(CHAIN)
        assert written.finish() == set(CHAIN)
        assert (written.writer.num_written, written.writer.num_skipped) == (wanted, 0)


def test_a_full_disk_is_one_warning_and_the_end_of_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_block(path: Path, key: str, arrays: list[HostArray]) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writer_module, "write_block", write_block)
    written = Written(tmp_path)
    thread = threading.Thread(target=written.writer.run)
    with capture_logs() as logs:
        thread.start()
        for _ in range(200):
            written.offer(CHAIN)
        written.writer.close()
        thread.join(5)
    assert not thread.is_alive()
    assert [line["log_level"] for line in logs] == ["warning"]
    assert "No space left" in logs[0]["reason"]
    assert (written.writer.num_written, written.writer.num_skipped) == (0, 200 * len(CHAIN))


def test_a_folder_that_went_away_is_no_crash(tmp_path: Path) -> None:
    written = Written(tmp_path)
    (written.folder / "about.json").unlink()
    written.folder.rmdir()
    written.offer(CHAIN)
    with capture_logs() as logs:
        assert written.finish() == set()
    assert len(logs) == 1
