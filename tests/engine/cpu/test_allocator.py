from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

needs_glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="no glibc"
)

# 200 blocks of 1 MB are written and freed, while one at the top of the heap stays.
PROGRAM = """
import ctypes
from pathlib import Path
from api.engine.cpu.allocator import give_back_freed_memory, keep_freed_memory

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 10**6

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
assert keep_freed_memory()
before = resident_mb()
blocks = [libc.malloc(10**6) for _ in range(201)]
for block in blocks:
    libc.memset(block, 1, 10**6)
for block in blocks[:-1]:
    libc.free(block)
kept = resident_mb()
give_back_freed_memory()
print(kept - before, resident_mb() - before)
"""


@needs_glibc
def test_freed_memory_is_kept_for_reuse_and_given_back_when_idle() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    kept_mb, left_mb = map(int, done.stdout.split())
    assert kept_mb > 150
    assert left_mb < 50


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from api.engine.cpu import allocator as cpu_memory

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(cpu_memory.ctypes, "CDLL", lambda name: pytest.fail("touched the C library"))
    assert not cpu_memory.keep_freed_memory()
    cpu_memory.give_back_freed_memory()
