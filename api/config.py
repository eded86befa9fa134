"""The server's settings as frozen values, with their defaults; ``options.py`` says how each is called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

CpuWeights = Literal["auto", "keep"]
ForwardChoice = Literal["auto", "flat", "grouped", "padded"]
LogFormat = Literal["text", "json"]
SpeculationChoice = Literal["auto", "off"]
TuneChoice = Literal["auto", "off", "again"]
Switch = Literal["on", "off"]
GenerationConfigChoice = Literal["auto", "none"]
KV_BITS = (8, 4)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What the model and its batch need; nothing here knows of HTTP."""

    model: str | None = None  # folder, Hugging Face repo id or .gguf file; None: the embedded default
    max_batch_size: int = 32  # sequences in the batch at once
    max_context_tokens: int | None = None  # None: what the model's config says
    step_stall_ms: float = 130.0  # how much longer than plain decode a step may take to read prompts
    max_step_tokens: int | None = None  # upper bound of rows in one forward; None: by device
    kv_memory_bytes: int | None = None  # None: from the device's limit less weights and a margin
    kv_bits: int | None = None  # None: keys and values as the model computes them
    prefix_cache: Switch = "on"
    prefix_cache_bytes: int | None = None  # of kv_memory_bytes, at most; None: half of it
    prefix_cache_dir: str | None = None  # where kept prompts outlive the process; None: nowhere
    prefix_cache_disk_bytes: int | None = None  # None: 10 GB or a tenth of what is free there, the less
    cpu_weights: CpuWeights = "auto"  # auto: float32 on a CPU backend where they fit
    forward: ForwardChoice = "auto"  # auto: decided by the self-check at load
    trust_remote_code: bool = False
    generation_config: GenerationConfigChoice = "auto"  # auto: the folder's sampling where requests name none
    speculation: SpeculationChoice = "auto"  # auto: where the measured costs say that it pays
    draft_model: str | None = None  # folder, repo id or .gguf file of a small one that runs ahead; None: none
    tune: TuneChoice = "auto"  # auto: measured once on this device for this model, then remembered


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Everything the command line says."""

    engine: EngineConfig = field(default_factory=EngineConfig)
    host: str = "0.0.0.0"
    port: int = 8000
    workers: int = 1
    uds: str | None = None  # path of a Unix socket in the place of host and port
    root_path: str = ""  # that a proxy in front takes away from the paths it passes on
    forwarded_allow_ips: str | None = None  # proxies whose X-Forwarded headers count; None: this machine's
    ssl_certfile: str | None = None  # None: no TLS
    ssl_keyfile: str | None = None  # None: in ssl_certfile
    api_key_hashes: tuple[str, ...] = ()  # of keys that the command line names; the keys are not kept
    api_key_file: str | None = None
    cors_origins: tuple[str, ...] = ()  # of web pages that may use the server, besides local ones
    reload: bool = False
    verbose: bool = False
    log_format: LogFormat = "text"
    no_ui: bool = False  # browsers get the list of endpoints at /, as everybody else
    served_model_names: tuple[str, ...] = ()  # empty: derived from the model's path
    accept_any_model: bool = False
    allow_special_tokens: bool = False  # names of special tokens in messages become these tokens
    share_prefix_cache: bool = False  # across API keys
    max_queue: int = 256  # requests that may wait beyond those in the batch
    default_max_tokens: int | None = None  # None: as far as the context reaches
    max_body_bytes: int = 16 * 1024 * 1024
    request_timeout_seconds: float = 0.0  # 0: no limit
    stall_timeout_seconds: float = 300.0  # a step that takes longer means a dead engine
    exit_when_dead: Switch = "on"  # the process ends when its engine is dead, so that another can start
    idle_read_seconds: float = 30.0  # a request whose sender makes no progress for longer is cut off
    drain_seconds: float = 30.0
    keep_alive_seconds: float = 10.0  # SSE comment lines while nothing else is sent
