from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from api.engine.disk.folder import open_folder, open_model_folder
from api.engine.disk.format import write_block
from api.engine.disk.reader import BlockReader, BlocksRead, Reading
from api.engine.memory.block_keys import HashedBlockKeys
from api.engine.memory.prefix_tree import Block
from tests.engine.disk.blocks import BLOCK_TOKENS, LAYOUTS, create_arrays, create_chain
from tests.engine.factories import create_sequence

PROMPT = list(range(17))  # four whole blocks
CHAIN = create_chain(PROMPT)


class Disk:
    """A folder with the prompt's blocks, the third of which has a state."""

    def __init__(self, root: Path, max_blocks: int = 100) -> None:
        self.folder = open_model_folder(open_folder(str(root)), "a" * 32, "tiny", BLOCK_TOKENS)
        self.keys = HashedBlockKeys("f")
        self.reader = BlockReader(self.folder, self.keys, LAYOUTS, BLOCK_TOKENS, max_blocks)
        for mark, key in enumerate(CHAIN):
            write_block(self.path(mark), key, create_arrays(mark, has_state=mark == 2))

    def path(self, number: int) -> Path:
        return self.folder / f"{CHAIN[number]}.safetensors"

    def begin(self, prompt: list[int] = PROMPT, salt: str = "") -> Reading:
        return self.reader.begin(create_sequence(prompt=prompt, cache_salt=salt))

    def read(self, prompt: list[int] = PROMPT, salt: str = "") -> list[BlocksRead]:
        reading, pieces = self.begin(prompt, salt), []
        while (read := reading.next()) is not None:
            pieces.append(read)
            self.reader.arrived(read)
        return pieces

    def remember(self, number: int) -> None:
        self.keys.add(Block(number, None, key=CHAIN[number]))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def numbers(pieces: list[BlocksRead]) -> list[list[int]]:
    return [[CHAIN.index(key) for key in piece.keys] for piece in pieces]


def test_reads_what_a_prompt_begins_with(disk: Disk) -> None:
    (piece,) = disk.read()
    assert piece.parent_key == disk.keys.root("")
    assert [block.token_ids for block in piece.blocks] == [tuple(range(i, i + 4)) for i in (0, 4, 8, 12)]
    assert [block.has_state for block in piece.blocks] == [False, False, True, False]
    assert [bytes(arrays[0].data)[0] for arrays in piece.arrays] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        (PROMPT[:16], 3),
        (PROMPT[:5], 1),
        (PROMPT[:4], 0),
        ([*PROMPT[:8], 99, *PROMPT[9:]], 2),
        ([99, *PROMPT], 0),
    ],
)
def test_as_far_as_it_is_the_same_and_leaves_a_token_to_compute(
    disk: Disk, prompt: list[int], wanted: int
) -> None:
    assert sum(len(piece.keys) for piece in disk.read(prompt)) == wanted


def test_salts_share_nothing(disk: Disk) -> None:
    assert disk.read(salt="a") == []


def test_what_is_in_memory_is_not_read(disk: Disk) -> None:
    disk.remember(1)
    pieces = disk.read()
    assert numbers(pieces) == [[0], [2, 3]]
    assert pieces[1].parent_key == CHAIN[1]


def test_two_prompts_do_not_read_the_same_blocks(disk: Disk) -> None:
    one, two = disk.begin(), disk.begin()
    first = one.next()
    assert first is not None and two.next() is None
    disk.reader.arrived(first)  # and was refused
    assert numbers(disk.read()) == [[0, 1, 2, 3]]


def test_no_more_than_memory_may_take(tmp_path: Path) -> None:
    assert numbers(Disk(tmp_path, max_blocks=2).read()) == [[0, 1]]


def test_one_that_was_refused_reads_no_further(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.engine.disk.reader._PIECE_BLOCKS", 2)
    reading = disk.begin()
    assert reading.next() is not None
    reading.is_refused = True
    assert reading.next() is None


def test_a_batch_thread_that_takes_nothing_is_not_sent_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.engine.disk.reader._PIECE_BLOCKS", 1)
    monkeypatch.setattr("api.engine.disk.reader._LONGEST_WAIT_SECONDS", 0.001)
    disk = Disk(tmp_path)
    disk.reader = BlockReader(disk.folder, disk.keys, LAYOUTS, BLOCK_TOKENS, 100, under_way_bytes=1)
    reading = disk.begin()
    read = reading.next()
    assert read is not None and reading.next() is None
    disk.reader.arrived(read)


def test_use_is_noted_also_of_what_was_in_memory(disk: Disk) -> None:
    disk.remember(0)
    before = [disk.path(i).stat().st_mtime_ns for i in range(4)]
    disk.read(PROMPT[:13])
    after = [disk.path(i).stat().st_mtime_ns for i in range(4)]
    assert [new > old for old, new in zip(before, after, strict=True)] == [True, True, True, False]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def reshape(path: Path) -> None:
    write_block(path, path.stem, create_arrays(num_values=16))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def take_anothers(path: Path) -> None:
    path.write_bytes((path.parent / f"{CHAIN[0]}.safetensors").read_bytes())


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [truncate, flip, reshape, empty, make_folder, make_pipe, take_anothers])
def test_a_damaged_file_is_a_miss_and_removed(disk: Disk, damage: Callable[[Path], None]) -> None:
    damage(disk.path(1))
    with capture_logs() as logs:
        assert numbers(disk.read()) == [[0]]
        assert not disk.path(1).exists()
        assert numbers(disk.read()) == [[0]]
    assert [line["log_level"] for line in logs] == ["warning"]
    assert disk.reader.num_damaged == 1


def test_what_cannot_be_opened_is_a_miss_and_one_warning(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_block(*_: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr("api.engine.disk.reader.read_block", read_block)
    with capture_logs() as logs:
        assert disk.read() == disk.read() == []
    assert len(logs) == 1 and disk.path(0).exists()
