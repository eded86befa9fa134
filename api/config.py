"""The server's settings: frozen values, and the one place that reads argv and the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

CpuWeights = Literal["auto", "keep"]
ForwardChoice = Literal["auto", "flat", "padded"]
LogFormat = Literal["text", "json"]


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What the model and its batch need; nothing here knows of HTTP."""

    model: str | None = None  # folder, Hugging Face repo id or .gguf file; None: the embedded default
    max_batch_size: int = 32  # sequences in the batch at once
    max_context_tokens: int | None = None  # None: what the model's config says
    step_stall_ms: float = 250.0  # how much longer than plain decode a step may take to read prompts
    max_step_tokens: int | None = None  # upper bound of rows in one forward; None: by device
    kv_memory_bytes: int | None = None  # None: from the device's limit less weights and a margin
    cpu_weights: CpuWeights = "auto"  # auto: float32 on a CPU backend where they fit
    forward: ForwardChoice = "auto"  # auto: decided by the self-check at load
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Everything the command line says."""

    engine: EngineConfig = field(default_factory=EngineConfig)
    host: str = "0.0.0.0"
    port: int = 8000
    workers: int = 1
    reload: bool = False
    verbose: bool = False
    log_format: LogFormat = "text"
    served_model_names: tuple[str, ...] = ()  # empty: derived from the model's path
    accept_any_model: bool = False
    max_queue: int = 256  # requests that may wait beyond those in the batch
    default_max_tokens: int | None = None  # None: as far as the context reaches
    max_body_bytes: int = 16 * 1024 * 1024
    request_timeout_seconds: float = 0.0  # 0: no limit
    stall_timeout_seconds: float = 300.0  # a step that takes longer means a dead engine
    drain_seconds: float = 30.0
    keep_alive_seconds: float = 10.0  # SSE comment lines while nothing else is sent
