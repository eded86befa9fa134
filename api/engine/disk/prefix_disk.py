"""What the threads see of the tier on disk, and what they see where there is none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from api.engine.device.host_arrays import HostArray
from api.engine.disk.index import DiskIndex
from api.engine.disk.reader import BlockReader, BlocksRead
from api.engine.disk.writer import BlockWriter
from api.engine.memory.block_cache import BlockCache
from api.engine.sequences.sequence import Sequence
from api.stats import PrefixDiskStats


class Keeper(Protocol):
    """The arrays of cached blocks."""

    def insert(self, block_id: int, arrays: Iterable[HostArray]) -> None: ...

    def drop(self, block_ids: Iterable[int]) -> None: ...


class PromptReading(Protocol):
    """What becomes of one prompt on its way to the batch."""

    def next(self) -> BlocksRead | None:
        """Some of its blocks, to be sent before it; None when it can go."""


class PrefixDisk:
    """Blocks come back when a prompt begins with them. Each method says whose it is."""

    def __init__(
        self, cache: BlockCache, keeper: Keeper, index: DiskIndex, reader: BlockReader, writer: BlockWriter
    ) -> None:
        self._cache = cache
        self._keeper = keeper
        self._index = index
        self._reader = reader
        self._writer = writer
        self._num_hit_tokens = 0

    def read(self, sequence: Sequence) -> PromptReading:
        """Prefetch thread."""
        if not sequence.uses_prefix_cache:
            return NothingToRead()
        return self._reader.begin(sequence)

    def adopt(self, read: BlocksRead) -> None:
        """Batch thread, between two steps: caches the blocks, as many as memory has room for.

        What gives way to them goes at once, so the account of bytes is the truth before the next plan too.
        """
        try:
            self._adopt(read)
        finally:
            self._reader.arrived(read)

    def _adopt(self, read: BlocksRead) -> None:
        salt = read.reading.sequence.cache_salt
        ids = self._cache.insert(salt, read.parent_key, read.blocks)
        self._keeper.drop(self._cache.take_evicted())
        for block_id, block, arrays in zip(ids, read.blocks, read.arrays, strict=False):
            if block_id is not None:
                self._keeper.insert(block_id, arrays)
                self._num_hit_tokens += len(block.token_ids)
        read.reading.is_refused = len(ids) < len(read.blocks)

    def write(self) -> None:
        """Writer thread: until ``close``."""
        self._writer.run()

    def close(self) -> None:
        """Any thread, once: what waits is still written, nothing more is taken."""
        self._writer.close()

    def stats(self) -> PrefixDiskStats:
        """Any thread."""
        return PrefixDiskStats(
            num_blocks=self._index.num_blocks,
            used_bytes=self._index.used_bytes,
            limit_bytes=self._index.limit_bytes,
            num_hit_tokens=self._num_hit_tokens,
            num_written_blocks=self._writer.num_written,
            num_skipped_blocks=self._writer.num_skipped,
            num_damaged_files=self._reader.num_damaged,
        )


class NothingToRead:
    """A prompt that can go on at once."""

    def next(self) -> None:
        return None


class NoPrefixDisk:
    """Reads and writes nothing."""

    def read(self, sequence: Sequence) -> PromptReading:
        return NothingToRead()

    def adopt(self, read: BlocksRead) -> None: ...

    def write(self) -> None: ...

    def close(self) -> None: ...

    def stats(self) -> PrefixDiskStats:
        return PrefixDiskStats()
