"""What memory is given to what, decided before the first request: afterwards no allocation may fail.

MLX's CPU backend does not report an allocation that fails, it writes to address 0: nothing can catch that.
So the budget of keys and values leaves room for all that is taken beside it while a server works.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from api.engine.device.free_memory import gigabytes
from api.errors import StartupError

log = structlog.get_logger(__name__)

# What stays free for everybody else on the machine where the operator names no size.
_MARGIN_SHARE = 0.15
_SMALLEST_MARGIN_BYTES = 1024**3


@dataclass(frozen=True, slots=True)
class Needs:
    """What is taken beside the budget."""

    step_bytes: int = 0  # by the largest step: activations, logits, scores, states and blocks on their way
    process_bytes: int = 0  # by Python, its threads, and what an allocator cannot use again
    copy_share: float = 0.0  # of the budget: the copies that exist while slots change

    @property
    def fixed_bytes(self) -> int:
        return self.step_bytes + self.process_bytes

    def largest_budget(self, free_bytes: int) -> int:
        return int(max(0, free_bytes - self.fixed_bytes) / (1 + self.copy_share))


def require_step(free_bytes: int | None, needs: Needs) -> None:
    """Raises StartupError where not even a step without keys and values fits beside the weights."""
    if free_bytes is not None and free_bytes <= needs.fixed_bytes:
        raise StartupError(
            f"too little memory: a step takes up to {gigabytes(needs.fixed_bytes)}, but "
            f"{gigabytes(free_bytes)} are free beside the weights; use a smaller or a quantised model, "
            "or a lower --max-step-tokens"
        )


def kv_budget(
    asked_bytes: int | None,
    free_bytes: int | None,
    needs: Needs,
    num_workers: int = 1,
    weight_bytes: int = 0,
) -> int:
    """Bytes for keys and values: what the operator asks for, or else a part of what is free.

    Raises StartupError where it asks for what would not fit; one of several workers takes what there is.
    """
    if asked_bytes is None:
        return _automatic(free_bytes or 0, needs, num_workers, weight_bytes)
    fitting_bytes = asked_bytes if free_bytes is None else needs.largest_budget(free_bytes)
    if asked_bytes <= fitting_bytes:
        return asked_bytes
    line = (
        f"--kv-memory asks for {gigabytes(asked_bytes)}, but {gigabytes(free_bytes or 0)} are free beside "
        f"the weights, of which steps take up to {gigabytes(needs.fixed_bytes)}; "
        f"at most {gigabytes(fitting_bytes)} fit"
    )
    if num_workers == 1:
        raise StartupError(line)
    log.warning(
        line
    )  # a worker that is started again finds what its siblings leave: it is to serve with that
    return fitting_bytes


def _automatic(free_bytes: int, needs: Needs, num_workers: int, weight_bytes: int) -> int:
    """This process's share of what is free, less the weights that its siblings may still have to load.

    At least half of its plain share: a worker that is started again finds its siblings loaded.
    """
    smallest = min(_SMALLEST_MARGIN_BYTES, free_bytes // 2)
    usable = max(0, free_bytes - max(smallest, int(free_bytes * _MARGIN_SHARE)))
    share = max(usable - (num_workers - 1) * weight_bytes, usable // 2) // num_workers
    return min(share, needs.largest_budget(free_bytes // num_workers))
