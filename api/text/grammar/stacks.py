"""Native stacks: what was compiled on a small one can be compiled again on a larger one."""

from __future__ import annotations

import threading
from collections.abc import Callable

TRIAL_STACK_BYTES = 1024**2  # a walk through the grammar: the threads that compute masks have twice as much
TRIED_STACK_BYTES = 8 * 1024**2  # in the process where a grammar is compiled for the first time
TRUSTED_STACK_BYTES = 32 * 1024**2  # in the server


def run_with_stack(num_bytes: int, work: Callable[[], None]) -> None:
    """Runs ``work`` in a thread with a stack of that size, and waits. Raises what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # raised again in the caller's thread
            raised.append(error)

    thread = start_with_stack(num_bytes, run)
    thread.join()
    if raised:
        raise raised[0]


def start_with_stack(num_bytes: int, work: Callable[[], None], name: str | None = None) -> threading.Thread:
    """Starts a daemon thread with a stack of that size."""
    before_bytes = threading.stack_size(num_bytes)
    try:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
    finally:
        threading.stack_size(before_bytes)
    return thread
