"""What the outside may know of a server: whether it serves, and which model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from api.types import SamplingDefaults

Status = Literal["loading", "ok", "draining", "dead"]


@dataclass(frozen=True, slots=True)
class Health:
    """``detail`` says what is being done, or what is wrong."""

    status: Status
    detail: str


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What /v1/models shows. The first name is the canonical one."""

    names: tuple[str, ...]
    created_seconds: int  # Unix time of the server's start
    context_length: int  # tokens
    fingerprint: str  # changes with the weights and the arithmetic
    vocab_size: int  # token ids are below this
    sampling_defaults: SamplingDefaults = field(
        default_factory=SamplingDefaults
    )  # for what a request leaves open
