"""Which blocks lie on disk and which of them goes next: the end that was not used for longest.

The files are the truth. A process knows them from its last look at the folder and from its own changes
since; the lock's file says who changed it last, so another one's changes are seen before anything is
written. Use is a file's time of modification, which readers set without telling anybody.
"""

from __future__ import annotations

import heapq
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from api.engine.disk.format import PARTIAL_SUFFIX, SUFFIX
from api.engine.files.folder_lock import exclusive
from api.engine.memory.block_keys import parent_of, short_key

# Nothing else is counted, and nothing else is ever removed: the folder may hold files of other people.
_FOLDER_NAME = re.compile(r"[0-9a-f]{32}", re.ASCII)
_FILE_NAME = re.compile(rf"([0-9a-f]{{64}}-[0-9a-f]{{16}})({re.escape(SUFFIX)}|{re.escape(PARTIAL_SUFFIX)})")
_Place = tuple[str, str]  # folder's name, short key


@dataclass(slots=True)
class _File:
    folder: str
    key: str
    num_bytes: int
    used_ns: int

    @property
    def place(self) -> _Place:
        return self.folder, short_key(self.key)

    @property
    def parent(self) -> _Place | None:
        parent = parent_of(self.key)
        return None if parent is None else (self.folder, parent)


class DiskIndex:
    """The blocks under ``root``, in one folder for each fingerprint. One thread's; changes need ``open``."""

    def __init__(self, root: Path, limit_bytes: int = 0) -> None:
        self._root = root
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._files: dict[tuple[str, str], _File] = {}  # by folder's name and key
        self._num_at: Counter[_Place] = Counter()
        self._num_children: Counter[_Place] = Counter()
        self._oldest: list[tuple[int, str, str]] = []  # a heap of (used, folder's name, key), some outdated
        self._blocked: dict[_Place, list[_File]] = {}  # taken off the heap: others build on them
        self._signature = ""  # what the lock's file said when this index was right

    @property
    def num_blocks(self) -> int:
        return len(self._files)

    @contextmanager
    def open(self) -> Iterator[float]:
        """Keeps others from changing the folder; yields the seconds that it took to see what they had done.

        Raises OSError.
        """
        with exclusive(self._root) as lock:
            started_seconds = time.monotonic()
            if not self._signature or lock.read_text() != self._signature:
                self._scan()
            self._signature = secrets.token_hex(8)
            lock.write_text(self._signature)
            yield time.monotonic() - started_seconds

    def limit_to(self, limit_bytes: int) -> None:
        """Removes what is beyond the limit."""
        self.limit_bytes = limit_bytes
        self._evict_down_to(limit_bytes, spared=None)

    def holds(self, folder: Path, key: str, num_bytes: int) -> bool:
        """Whether the block is there; one without a state is smaller, and does not count as one with it."""
        file = self._files.get((folder.name, key))
        return file is not None and file.num_bytes >= num_bytes and self._still_exists(file)

    def has_parent(self, folder: Path, key: str) -> bool:
        """Whether anybody can reach the block: that before it is there, or there is none."""
        parent = parent_of(key)
        return parent is None or (folder.name, parent) in self._num_at

    def make_room(self, folder: Path, key: str, num_bytes: int) -> bool:
        """Removes files until so many bytes are free, but not the one that ``key`` builds on."""
        parent = parent_of(key)
        spared = None if parent is None else (folder.name, parent)
        self._evict_down_to(self.limit_bytes - num_bytes, spared)
        return self.used_bytes + num_bytes <= self.limit_bytes

    def add(self, folder: Path, key: str, num_bytes: int, used_ns: int) -> None:
        """The file is written."""
        known = self._files.get((folder.name, key))
        if known is not None:
            self._forget(known)
        self._insert(_File(folder.name, key, num_bytes, used_ns))

    # --- what lies there -------------------------------------------------------------------------

    def _scan(self) -> None:
        for state in (self._files, self._num_at, self._num_children, self._oldest, self._blocked):
            state.clear()
        self.used_bytes = 0
        for folder in os.scandir(self._root):
            if _FOLDER_NAME.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False):
                for entry in os.scandir(folder):
                    self._find(folder.name, entry)

    def _find(self, folder: str, entry: os.DirEntry[str]) -> None:
        match = _FILE_NAME.fullmatch(entry.name)
        if match is None or not entry.is_file(follow_symlinks=False):
            return
        with suppress(FileNotFoundError):  # a reader found it damaged, just now
            if match[2] == PARTIAL_SUFFIX:
                os.unlink(entry.path)  # whoever wrote it is gone: that needs the lock
                return
            stat = entry.stat(follow_symlinks=False)
            self._insert(_File(folder, match[1], stat.st_size, stat.st_mtime_ns))

    def _insert(self, file: _File) -> None:
        self._files[file.folder, file.key] = file
        self._num_at[file.place] += 1
        self.used_bytes += file.num_bytes
        if file.parent is not None:
            self._num_children[file.parent] += 1
        self._offer(file)

    def _forget(self, file: _File) -> None:
        del self._files[file.folder, file.key]
        self.used_bytes -= file.num_bytes
        _decrease(self._num_at, file.place)
        if file.parent is not None and not _decrease(self._num_children, file.parent):
            for parent in self._blocked.pop(file.parent, ()):
                self._offer(parent)

    def _still_exists(self, file: _File) -> bool:
        if self._path(file).exists():
            return True
        self._forget(file)
        return False

    def _path(self, file: _File) -> Path:
        return self._root / file.folder / f"{file.key}{SUFFIX}"

    # --- which one goes --------------------------------------------------------------------------

    def _evict_down_to(self, num_bytes: int, spared: _Place | None) -> None:
        set_aside = []
        while self.used_bytes > num_bytes and (file := self._oldest_end()) is not None:
            if file.place == spared:
                set_aside.append(file)
                continue
            self._path(file).unlink(missing_ok=True)
            self._forget(file)
        for file in set_aside:
            self._offer(file)

    def _oldest_end(self) -> _File | None:
        """Takes it off the heap."""
        while self._oldest:
            used_ns, *name = heapq.heappop(self._oldest)
            file = self._files.get((name[0], name[1]))
            if file is None or file.used_ns != used_ns:
                continue
            if self._num_children[file.place]:
                self._blocked.setdefault(file.place, []).append(file)
            elif self._is_up_to_date(file):
                return file
        return None

    def _is_up_to_date(self, file: _File) -> bool:
        """Whether nobody has used it since; else it takes its new place, or is gone."""
        try:
            used_ns = self._path(file).stat().st_mtime_ns
        except FileNotFoundError:
            self._forget(file)
            return False
        if used_ns == file.used_ns:
            return True
        file.used_ns = used_ns
        self._offer(file)
        return False

    def _offer(self, file: _File) -> None:
        heapq.heappush(self._oldest, (file.used_ns, file.folder, file.key))


def _decrease(counts: Counter[_Place], place: _Place) -> int:
    """Returns what is left; nothing is kept of a count that is zero."""
    counts[place] -= 1
    left = counts[place]
    if not left:
        del counts[place]
    return left
