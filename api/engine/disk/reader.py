"""Reads from disk the cached blocks that a prompt begins with, as far as they are not in memory anyway."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence as Items
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from api.engine.device.host_arrays import HostArray, Layout, data_bytes, layout_of
from api.engine.disk.byte_gate import ByteGate
from api.engine.disk.format import SUFFIX, DamagedBlockError, read_block
from api.engine.memory.block_keys import ComingBlock, HashedBlockKeys
from api.engine.sequences.sequence import Sequence

log = structlog.get_logger(__name__)

# Blocks on their way to the batch thread. It takes them between two steps, so few at a time.
_UNDER_WAY_BYTES = 128 * 1024**2
_PIECE_BYTES = 16 * 1024**2
_PIECE_BLOCKS = 32
# A batch thread that takes nothing for so long is stuck: its prompts are prefilled without the disk.
_LONGEST_WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class BlocksRead:
    """Some blocks of a prompt, one behind another, on their way to the batch thread."""

    reading: Reading
    parent_key: str
    keys: tuple[str, ...]
    blocks: tuple[ComingBlock, ...]
    arrays: tuple[list[HostArray], ...]  # of each block
    num_bytes: int


class BlockReader:
    """Prefetch thread only, but for ``arrived``."""

    def __init__(
        self,
        folder: Path,
        keys: HashedBlockKeys,
        layouts: tuple[Layout, ...],
        block_tokens: int,
        max_blocks: int,
        under_way_bytes: int = _UNDER_WAY_BYTES,
    ) -> None:
        """``layouts``: of a block without state, and of one with it where the model has state.

        ``max_blocks``: what memory may take of one prompt.
        """
        self.keys = keys
        self.layouts = layouts
        self.block_tokens = block_tokens
        self._folder = folder
        self._max_blocks = max_blocks
        self._gate = ByteGate(under_way_bytes)
        self._under_way: set[str] = set()  # single set operations are atomic
        self._has_warned = False
        self.num_damaged = 0

    def begin(self, sequence: Sequence) -> Reading:
        return Reading(self, sequence, self._max_blocks)

    def arrived(self, read: BlocksRead) -> None:
        """Batch thread: it has taken them, or will not."""
        self._gate.release(read.num_bytes)
        self._under_way.difference_update(read.keys)

    def is_in_memory(self, key: str) -> bool:
        """Or will be when the batch thread has seen what was sent to it before."""
        return key in self._under_way or key in self.keys

    def send(self, read: BlocksRead) -> bool:
        """Whether the batch thread may be given so much more."""
        if not self._gate.acquire(read.num_bytes, _LONGEST_WAIT_SECONDS):
            return False
        self._under_way.update(read.keys)
        return True

    def read(self, key: str) -> list[HostArray] | None:
        """None where there is no such block; a file that is none is removed."""
        path = self._path(key)
        try:
            return read_block(path, key, self.layouts)
        except FileNotFoundError:
            return None
        except (DamagedBlockError, IsADirectoryError) as error:
            self.num_damaged += 1
            log.warning("prefix cache on disk: damaged file removed", file=str(path), reason=str(error))
            _remove(path)
        except OSError as error:
            if not self._has_warned:
                log.warning("prefix cache on disk: cannot read", file=str(path), reason=str(error))
            self._has_warned = True
        return None

    def touch(self, keys: Items[str]) -> None:
        """These are used now, also those that were in memory: they are to outlive the process."""
        now_ns = time.time_ns()
        for key in keys:
            with suppress(OSError):
                os.utime(self._path(key), ns=(now_ns, now_ns))

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{SUFFIX}"


class Reading:
    """One prompt's blocks, a few at a time."""

    def __init__(self, reader: BlockReader, sequence: Sequence, max_blocks: int) -> None:
        self.sequence = sequence
        self.is_refused = False  # set by the batch thread: there is no room for more
        self._reader = reader
        # The last token is always computed: its logits are needed.
        self._num_blocks = min((len(sequence.token_ids) - 1) // reader.block_tokens, max_blocks)
        self._keys = [reader.keys.root(sequence.cache_salt)]  # and those of the blocks so far

    def next(self) -> BlocksRead | None:
        """The next ones that are not in memory; None at the end."""
        read = None if self.is_refused else self._read_piece()
        if read is None or not self._reader.send(read):
            self._reader.touch(self._keys[1:])
            return None
        return read

    def _read_piece(self) -> BlocksRead | None:
        keys: list[str] = []
        blocks: list[ComingBlock] = []
        arrays: list[list[HostArray]] = []
        num_bytes = 0
        while len(self._keys) <= self._num_blocks and len(keys) < _PIECE_BLOCKS and num_bytes < _PIECE_BYTES:
            token_ids = self._next_tokens()
            key = self._reader.keys.child(self._keys[-1], token_ids)
            if self._reader.is_in_memory(key):
                if keys:
                    break
            elif (content := self._reader.read(key)) is None:
                self._num_blocks = len(self._keys) - 1
                break
            else:
                layout = layout_of(content)
                keys.append(key)
                blocks.append(ComingBlock(token_ids, has_state=layout != self._reader.layouts[0]))
                arrays.append(content)
                num_bytes += data_bytes(layout)
            self._keys.append(key)
        if not keys:
            return None
        parent_key = self._keys[-len(keys) - 1]
        return BlocksRead(self, parent_key, tuple(keys), tuple(blocks), tuple(arrays), num_bytes)

    def _next_tokens(self) -> tuple[int, ...]:
        start, size = (len(self._keys) - 1) * self._reader.block_tokens, self._reader.block_tokens
        return tuple(self.sequence.token_ids[start : start + size])


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except (IsADirectoryError, PermissionError):  # the latter where the system says so of a folder
        shutil.rmtree(path, ignore_errors=True)
    except OSError:
        pass
