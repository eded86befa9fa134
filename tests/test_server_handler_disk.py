"""A ServerHandler whose prompts come by way of the disk: real threads and files, no model."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from api.engine.device.host_arrays import HostArray
from api.engine.disk.folder import open_folder, open_model_folder
from api.engine.disk.index import DiskIndex
from api.engine.disk.prefix_disk import PrefixDisk
from api.engine.disk.reader import BlockReader
from api.engine.disk.writer import BlockWriter
from api.engine.memory.account import BlockSizes, KVMemory
from api.engine.memory.block_cache import BlockCache
from api.engine.memory.block_keys import HashedBlockKeys
from tests.engine.disk.blocks import LAYOUTS, create_arrays
from tests.fakes.serving_handler import assert_nothing_left, events_of, run, serving, text_of
from tests.threads.fakes import FakeEngine, create_engine, create_request

STAGES = {"processing", "prefetch", "batch", "disk writer", "results"}


class FakeKeeper:
    def __init__(self) -> None:
        self.marks: list[int] = []  # the first byte of each block that came

    def insert(self, block_id: int, arrays: list[HostArray]) -> None:
        self.marks.append(arrays[0].data[0])

    def drop(self, block_ids: tuple[int, ...]) -> None:
        assert not block_ids


class Served:
    """An engine with a tier on disk, in blocks of two tokens. The fake prompts are the tokens 1, 2, 3."""

    def __init__(self, root: Path) -> None:
        keys, index = HashedBlockKeys("f"), DiskIndex(open_folder(str(root)), 10**6)
        folder = open_model_folder(root, "a" * 32, "tiny", 2)
        self.key = keys.child(keys.root(""), (1, 2))
        self.keeper = FakeKeeper()
        self.writer = BlockWriter(index, folder)
        cache = BlockCache(KVMemory(1000), BlockSizes(2, 10), 1000)
        cache.name_blocks(keys)
        reader = BlockReader(folder, keys, LAYOUTS, 2, 100)
        self.engine: FakeEngine = create_engine()
        self.engine.prefix_disk = PrefixDisk(cache, self.keeper, index, reader, self.writer)  # type: ignore[arg-type]


def stage_names() -> set[str]:
    return STAGES & {thread.name for thread in threading.enumerate()}


def test_what_one_server_wrote_the_next_one_has_before_its_prompt(tmp_path: Path) -> None:
    async def write() -> None:
        served = Served(tmp_path)
        async with serving(served.engine, prefix_cache_dir=str(tmp_path)) as handler:
            assert stage_names() == STAGES
            assert text_of(await events_of(handler.submit(create_request("a")))) == "hello"
            served.writer.offer(served.key, LAYOUTS[0], lambda: create_arrays(7))
        assert served.keeper.marks == []
        assert_nothing_left(handler, served.engine)
        assert handler.stats()["prefix_cache"]["disk"]["written_blocks"] == 1  # as it stopped

    async def read() -> None:
        served = Served(tmp_path)
        async with serving(served.engine, prefix_cache_dir=str(tmp_path)) as handler:
            for request_id in "ab":
                assert text_of(await events_of(handler.submit(create_request(request_id)))) == "hello"
            assert served.keeper.marks == [7]  # once: then it is in memory
            assert handler.stats()["prefix_cache"]["disk"]["hit_tokens"] == 2
        assert_nothing_left(handler, served.engine)

    run(write)
    assert stage_names() == set()
    run(read)


def test_without_a_folder_there_are_no_such_threads() -> None:
    async def test() -> None:
        async with serving(create_engine()) as handler:
            assert stage_names() == {"processing", "batch", "results"}
            assert handler.stats()["prefix_cache"]["disk"]["enabled"] is False

    run(test)


@pytest.mark.parametrize("text", ["hello!", "x" * 90])
def test_cancelled_requests_leave_nothing(tmp_path: Path, text: str) -> None:
    async def test() -> None:
        served = Served(tmp_path)
        async with serving(served.engine, prefix_cache_dir=str(tmp_path)) as handler:
            channels = [handler.submit(create_request(str(i), text)) for i in range(20)]
            for i in range(0, 20, 2):
                handler.cancel(str(i))
            for channel in channels:
                await events_of(channel)
        assert_nothing_left(handler, served.engine)

    run(test)
