"""Which blocks lie on disk and which of them goes next: the end that was not used for longest.

The files are the truth. A process knows them from its last look at the folder and from its own changes
since; the lock's file says who changed it last, so another one's changes are seen before anything is
written. Use is a file's time of modification, which readers set without telling anybody.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from api.engine.disk.format import PARTIAL_SUFFIX, SUFFIX
from api.engine.files.folder_lock import exclusive
from api.engine.memory.block_keys import parent_of, short_key

# Nothing else is counted, and nothing else is ever removed: the folder may hold files of other people.
_FOLDER_NAME = re.compile(r"[0-9a-f]{32}", re.ASCII)
_FILE_NAME = re.compile(rf"([0-9a-f]{{64}}-[0-9a-f]{{16}})({re.escape(SUFFIX)}|{re.escape(PARTIAL_SUFFIX)})")
_Name = tuple[str, str]  # folder's name, key
_Place = tuple[str, str]  # folder's name, short key: so keys tell what a block builds on


class DiskIndex:
    """The blocks under ``root``, in one folder for each fingerprint. One thread's; changes need ``open``."""

    def __init__(self, root: Path, limit_bytes: int = 0) -> None:
        self._root = root
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._bytes_of: dict[_Name, int] = {}
        self._num_at: Counter[_Place] = Counter()
        self._num_children: Counter[_Place | None] = Counter()
        self._line: list[tuple[_Name, int]] = []  # of the last look, with times of use; its end goes first
        self._signature = ""  # what the lock's file said when this index was right

    @property
    def num_blocks(self) -> int:
        return len(self._bytes_of)

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

    def holds(self, path: Path, num_bytes: int) -> bool:
        """Whether the block is there; one without a state is smaller, and does not count as one with it."""
        name = _name(path)
        if name in self._bytes_of and not path.exists():  # a reader found it damaged
            self._forget(name)
        return self._bytes_of.get(name, -1) >= num_bytes

    def has_parent(self, path: Path) -> bool:
        """Whether anybody can reach the block: that before it is there, or there is none."""
        parent = _parent(_name(path))
        return parent is None or self._num_at[parent] > 0

    def make_room(self, path: Path, num_bytes: int) -> bool:
        """Removes files until so many bytes are free, but not the one that ``path`` builds on."""
        self._evict_down_to(self.limit_bytes - num_bytes, spared=_parent(_name(path)))
        return self.used_bytes + num_bytes <= self.limit_bytes

    def add(self, path: Path, num_bytes: int) -> None:
        """The file is written."""
        self._forget(_name(path))
        self._remember(_name(path), num_bytes)

    def _remember(self, name: _Name, num_bytes: int) -> None:
        self._bytes_of[name] = num_bytes
        self.used_bytes += num_bytes
        self._num_at[_place(name)] += 1
        self._num_children[_parent(name)] += 1

    def _forget(self, name: _Name) -> None:
        if (num_bytes := self._bytes_of.pop(name, None)) is not None:
            self.used_bytes -= num_bytes
            self._num_at[_place(name)] -= 1
            self._num_children[_parent(name)] -= 1

    def _evict_down_to(self, num_bytes: int, spared: _Place | None) -> None:
        self._evict_from_line(num_bytes, spared)
        if self.used_bytes > num_bytes:
            self._scan()
            self._evict_from_line(num_bytes, spared)

    def _evict_from_line(self, num_bytes: int, spared: _Place | None) -> None:
        """Whoever was used or built on since the last look stands behind all of this line by now."""
        while self._line and self.used_bytes > num_bytes:
            name, used_ns = self._line.pop()
            path = self._root / name[0] / f"{name[1]}{SUFFIX}"
            is_end = _place(name) != spared and not self._num_children[_place(name)]
            if is_end and _used_ns(path) in (used_ns, None):
                path.unlink(missing_ok=True)
                self._forget(name)

    def _scan(self) -> None:
        """Sees what lies there, and who goes first; nobody goes before those that build on him."""
        self.used_bytes = 0
        for known in (self._bytes_of, self._num_at, self._num_children):
            known.clear()
        used_ns: dict[_Name, int] = {}
        for name, stat in _blocks(self._root):
            self._remember(name, stat.st_size)
            used_ns[name] = stat.st_mtime_ns
        self._line = _in_line(used_ns)


def _in_line(used_ns: dict[_Name, int]) -> list[tuple[_Name, int]]:
    """Those used last first, each behind what it builds on. Empties ``used_ns``."""
    at: dict[_Place | None, _Name] = {_place(name): name for name in used_ns}
    line: list[tuple[_Name, int]] = []
    for name in sorted(used_ns, key=used_ns.__getitem__, reverse=True):
        chain: list[tuple[_Name, int]] = []
        while name in used_ns:
            chain.append((name, used_ns.pop(name)))
            name = at.get(_parent(name), name)
        line += reversed(chain)
    return line


def _blocks(root: Path) -> Iterator[tuple[_Name, os.stat_result]]:
    """All that are there. Half a file is removed, as whoever wrote it is gone: that needs the lock."""
    for folder in os.scandir(root):
        if _FOLDER_NAME.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False):
            for entry in os.scandir(folder):
                match = _FILE_NAME.fullmatch(entry.name)
                if match is None or not entry.is_file(follow_symlinks=False):
                    continue
                with suppress(FileNotFoundError):  # a reader found it damaged, just now
                    if match[2] == PARTIAL_SUFFIX:
                        os.unlink(entry.path)
                    else:
                        yield (folder.name, match[1]), entry.stat(follow_symlinks=False)


def _used_ns(path: Path) -> int | None:
    """None for a file that is gone."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _name(path: Path) -> _Name:
    return path.parent.name, path.stem


def _place(name: _Name) -> _Place:
    return name[0], short_key(name[1])


def _parent(name: _Name) -> _Place | None:
    parent = parent_of(name[1])
    return None if parent is None else (name[0], parent)
