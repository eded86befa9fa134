from __future__ import annotations

import json
import platform
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from api.engine.cpu import denormals
from api.engine.cpu.denormals import flushed_denormals

SMALLEST_NORMAL = sys.float_info.min

needs_switch = pytest.mark.skipif(
    sys.platform != "linux"
    or platform.libc_ver()[0] != "glibc"
    or platform.machine() not in ("x86_64", "aarch64"),
    reason="no such switch is known here",
)


def is_flushing() -> bool:
    return SMALLEST_NORMAL / 2 == 0


def in_a_thread(function: Callable[[], object]) -> object:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


@needs_switch
def test_denormals_are_zero_inside_and_not_outside() -> None:
    with flushed_denormals() as works:
        assert works and is_flushing()
    assert not is_flushing()


@needs_switch
def test_nested_and_after_an_error_the_state_is_the_one_before() -> None:
    with flushed_denormals(), pytest.raises(ZeroDivisionError), flushed_denormals():
        raise ZeroDivisionError
    assert not is_flushing()
    with flushed_denormals():
        with flushed_denormals():
            pass
        assert is_flushing()


@needs_switch
def test_threads_started_inside_flush_for_good_and_others_never() -> None:
    goes_on, other_ready, ends = (threading.Event() for _ in range(3))
    seen: dict[str, object] = {}

    def other() -> None:
        other_ready.set()
        goes_on.wait()
        seen["before"] = (is_flushing(), float("5e-324"))

    def inside() -> None:
        ends.wait()
        seen["inside"] = is_flushing()

    before = threading.Thread(target=other)
    before.start()
    other_ready.wait()
    with flushed_denormals():
        started = threading.Thread(target=inside)
        started.start()
        goes_on.set()
        before.join()
    ends.set()
    started.join()
    assert seen == {"before": (False, 5e-324), "inside": True}
    assert in_a_thread(is_flushing) is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sys.platform", "darwin"),
        ("platform.machine", lambda: "riscv64"),
        ("sys.maxsize", 2**31 - 1),
        (f"{denormals.__name__}._LIBRARIES", ("no such library",)),
        # Layouts that are not as thought: of what is there, and of what comes back.
        (
            "api.engine.cpu.denormals._CONTROL_WORDS",
            {platform.machine(): denormals._ControlWord(0, 0, ~0, 0)},
        ),
        (
            "api.engine.cpu.denormals._CONTROL_WORDS",
            {platform.machine(): denormals._ControlWord(100, 1, 0, 0)},
        ),
    ],
)
def test_where_it_cannot_be_had_nothing_changes(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name, value)
    with flushed_denormals() as works:
        assert not works and not is_flushing()
    assert not is_flushing()


PRODUCTS = """
import json, sys, threading
from api.engine.cpu.denormals import flushed_denormals
from api.engine.cpu.blas.load import preload_blas
preload_blas()
import mlx.core as mx

def count():
    small = mx.full((300, 300), 1e-25)
    arrays = small * 1e-15, small @ (small * 1e10)
    mx.eval(arrays)
    return [sum(bits != 0 for bits in array.view(mx.uint32).flatten().tolist()) for array in arrays]

def flushed():
    with flushed_denormals():
        seen["flushed"] = count()

def other():
    seen["other"] = count()
    seen["parsed"] = json.loads("5e-324")

seen = {}
for body in (flushed, other):
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
print(json.dumps(seen))
"""


@needs_switch
def test_mlx_takes_products_that_are_denormal_for_zero() -> None:
    """The ones of its own thread, and those of the BLAS, whose threads share the rows of a product."""
    done = subprocess.run([sys.executable, "-c", PRODUCTS], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["flushed"] == [0, 0]
    assert seen["other"][0] == 90_000
    assert seen["parsed"] == 5e-324
