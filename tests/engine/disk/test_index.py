"""The budget, whoever writes, reads and removes; and which block goes first."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from api.engine.disk.folder import open_folder
from api.engine.disk.index import DiskIndex
from tests.engine.disk.blocks import BLOCK_TOKENS, create_chain

FOLDERS = ("a" * 32, "b" * 32)
SIZE = 100


class Disk:
    """A folder, and the indexes of the processes that share it."""

    def __init__(self, root: Path, limit_bytes: int = 5 * SIZE, num_processes: int = 1) -> None:
        self.root = open_folder(str(root))
        self.now_ns = 10**18
        for name in FOLDERS:
            (self.root / name).mkdir(exist_ok=True)
        self.indexes = [DiskIndex(self.root, limit_bytes) for _ in range(num_processes)]

    def write(self, key: str, num_bytes: int = SIZE, folder: str = FOLDERS[0], process: int = 0) -> bool:
        """As the writer does."""
        index, path = self.indexes[process], self.path(key, folder)
        with index.open():
            if index.holds(path, num_bytes):
                return True
            if not index.has_parent(path) or not index.make_room(path, num_bytes):
                return False
            path.write_bytes(bytes(num_bytes))
            self.use(key, folder)
            index.add(path, num_bytes)
        return True

    def use(self, key: str, folder: str = FOLDERS[0]) -> int:
        self.now_ns += 1
        os.utime(self.path(key, folder), ns=(self.now_ns, self.now_ns))
        return self.now_ns

    def path(self, key: str, folder: str = FOLDERS[0]) -> Path:
        return self.root / folder / f"{key}.safetensors"

    def keys(self) -> set[str]:
        return {path.stem for path in self.root.glob("*/*.safetensors")}

    def num_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.root.glob("*/*.safetensors"))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "cache")


def test_the_end_that_was_not_used_for_longest_goes_first(disk: Disk) -> None:
    one, two = create_chain([1] * 8), create_chain([2] * 8)
    for key in (*one, *two):
        assert disk.write(key)
    disk.use(one[1])  # by a reader, who tells nobody
    for key in create_chain([3] * 8):
        assert disk.write(key)
    assert disk.keys() == {*one, two[0], *create_chain([3] * 8)}


def test_what_a_block_builds_on_is_not_removed_for_it(disk: Disk) -> None:
    chain = create_chain([1] * 4 * 7)
    assert [disk.write(key) for key in chain] == [True] * 5 + [False] * 2
    assert disk.keys() == set(chain[:5])


def test_what_nobody_could_reach_is_not_written(disk: Disk) -> None:
    first, second = create_chain([1] * 8)
    assert not disk.write(second)
    assert disk.write(first) and disk.write(second)


def test_blocks_of_other_models_give_way_too(disk: Disk) -> None:
    old = create_chain([1] * 16, fingerprint="old")
    for key in old:
        assert disk.write(key, folder=FOLDERS[1])
    new = create_chain([1] * 12)
    assert all(disk.write(key) for key in new)
    assert disk.keys() == {*new, *old[:2]}


def test_a_start_finds_what_is_there_and_obeys_a_smaller_limit(disk: Disk) -> None:
    chain = create_chain([1] * 16)
    for key in chain:
        disk.write(key)
    index = DiskIndex(disk.root)
    with index.open():
        assert (index.used_bytes, index.num_blocks) == (4 * SIZE, 4)
        index.limit_to(2 * SIZE)
    assert disk.keys() == set(chain[:2])


def test_only_blocks_are_counted_and_removed(disk: Disk) -> None:
    model = disk.root / "weights" / "model.safetensors"
    near = [
        disk.root / FOLDERS[0] / name
        for name in ("model.safetensors", "notes.txt", "k" * 81 + ".safetensors")
    ]
    model.parent.mkdir()
    for path in (model, *near):
        path.write_bytes(bytes(50 * SIZE))
    left = disk.path(create_chain([9] * 4)[0]).with_suffix(".partial")
    left.write_bytes(b"half")
    for start in range(9):
        assert disk.write(create_chain([start] * 4)[0])
    assert all(path.exists() for path in (model, *near)) and not left.exists()


def test_a_block_with_its_state_takes_the_place_of_one_without(disk: Disk) -> None:
    (key,) = create_chain([1] * 4)
    disk.write(key)
    assert disk.write(key, SIZE + 1) and disk.num_bytes() == SIZE + 1
    assert disk.write(key, SIZE) and disk.num_bytes() == SIZE + 1
    assert disk.indexes[0].used_bytes == SIZE + 1


class SharedFolder(RuleBasedStateMachine):
    """Two processes write, readers touch and remove, in any order."""

    LIMIT = 4 * SIZE

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.disk = Disk(Path(self.place.name), self.LIMIT, num_processes=2)

    @rule(
        tokens=st.lists(st.integers(1, 2), min_size=1, max_size=5),
        process=st.integers(0, 1),
        folder=st.sampled_from(FOLDERS),
        num_bytes=st.integers(1, 2 * SIZE),
    )
    def write(self, tokens: list[int], process: int, folder: str, num_bytes: int) -> None:
        for key in create_chain([token for token in tokens for _ in range(BLOCK_TOKENS)], folder):
            is_written = self.disk.write(key, num_bytes, folder, process)
            assert is_written == self.disk.path(key, folder).exists()
            assert self.disk.num_bytes() <= self.LIMIT
            assert self.disk.num_bytes() <= self.disk.indexes[process].used_bytes

    @precondition(lambda self: self.disk.keys())
    @rule(data=st.data(), is_removed=st.booleans())
    def read(self, data: st.DataObject, is_removed: bool) -> None:
        path = data.draw(st.sampled_from(sorted(self.disk.root.glob("*/*.safetensors"))))
        if is_removed:
            path.unlink()
        else:
            self.disk.use(path.stem, path.parent.name)

    @rule(process=st.integers(0, 1))
    def restart(self, process: int) -> None:
        self.disk.indexes[process] = DiskIndex(self.disk.root, self.LIMIT)

    @invariant()
    def a_fresh_look_agrees(self) -> None:
        index = DiskIndex(self.disk.root, self.LIMIT)
        index._scan()
        assert index.used_bytes == self.disk.num_bytes() <= self.LIMIT

    def teardown(self) -> None:
        self.place.cleanup()


SharedFolder.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestSharedFolder = SharedFolder.TestCase
