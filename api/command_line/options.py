"""The options of the command line: of each the setting, the flag, what it takes, and what it is for.

The defaults are the settings' own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, get_args

from api.command_line.values import (
    api_key,
    non_negative_int,
    origin,
    parse_size,
    path,
    port,
    positive_float,
    positive_int,
    root_path,
    seconds,
)
from api.config import (
    KV_BITS,
    CpuWeights,
    ForwardChoice,
    GenerationConfigChoice,
    LogFormat,
    SpeculationChoice,
    Switch,
    TuneChoice,
)

Takes = Mapping[str, Any]  # argparse's arguments


def value(read: Callable[[str], object], metavar: str) -> Takes:
    return {"type": read, "metavar": metavar}


def one_of(choice: object) -> Takes:
    """``choice``: a Literal."""
    return {"choices": get_args(choice)}


def each(read: Callable[[str], object], metavar: str) -> Takes:
    """The option may be given several times."""
    return {"type": read, "metavar": metavar, "action": "append", "default": []}


NOTHING: Takes = {"action": "store_true"}
NAMES: Takes = {"metavar": "NAME", "nargs": "+", "action": "append", "default": []}


@dataclass(frozen=True, slots=True)
class Option:
    """``field``: of ``ServerConfig``, or of its ``EngineConfig``."""

    field: str
    flag: str
    takes: Takes
    help: str
    is_secret: bool = False  # its value is shown to nobody

    @property
    def name(self) -> str:
        """In a settings file."""
        return self.flag.removeprefix("--")

    @property
    def is_positional(self) -> bool:
        return not self.flag.startswith("--")

    @property
    def is_switch(self) -> bool:
        return self.takes.get("action") == "store_true"

    @property
    def is_repeatable(self) -> bool:
        return self.takes.get("action") == "append"


MODEL = Option(
    "model",
    "model",
    {"metavar": "MODEL", "nargs": "?"},
    "folder in MLX format, Hugging Face repo id or .gguf file (default: the small embedded model)",
)

_SERVER = (
    Option("host", "--host", value(str, "HOST"), "address to listen on (%(default)s)"),
    Option("port", "--port", value(port, "PORT"), "port, 0 for any (%(default)s)"),
    Option(
        *("workers", "--workers", value(positive_int, "N")),
        "processes behind the port, each with its own weights (%(default)s)",
    ),
    Option("uds", "--uds", value(path, "PATH"), "listen on this Unix socket in the place of host and port"),
    Option(
        *("root_path", "--root-path", value(root_path, "PATH")),
        "path below which a proxy in front shows the server",
    ),
    Option(
        *("forwarded_allow_ips", "--forwarded-allow-ips", value(str, "IPS")),
        "proxies whose X-Forwarded headers count, with commas, or * (default: this machine)",
    ),
    Option(
        *("ssl_certfile", "--ssl-certfile", value(path, "FILE")), "serve https with this certificate (PEM)"
    ),
    Option(
        *("ssl_keyfile", "--ssl-keyfile", value(path, "FILE")),
        "its private key (default: in the certificate's file)",
    ),
    Option("reload", "--reload", NOTHING, "restart when the code changes"),
    Option("verbose", "--verbose", NOTHING, "log requests and responses too"),
    Option(
        *("log_format", "--log-format", one_of(LogFormat)),
        "log lines for people or for programs (%(default)s)",
    ),
    Option("no_ui", "--no-ui", NOTHING, "no page for browsers at /"),
)
_ACCESS = (
    Option(
        *("api_key_hashes", "--api-key", each(api_key, "KEY")),
        "a key without which nothing but /health is served; may be given several times",
        is_secret=True,
    ),
    Option(
        *("api_key_file", "--api-key-file", value(path, "FILE")),
        "keys with names and limits, made by python -m api.keys; read again on SIGHUP",
    ),
    Option(
        *("cors_origins", "--cors-origin", each(origin, "ORIGIN")),
        "web pages that may use the server besides local ones, * for all; may be given several times",
    ),
)
_MODEL = (
    Option(
        *("served_model_names", "--served-model-name", NAMES),
        "names that clients may use besides 'model' (default: the path and its last part)",
    ),
    Option(
        *("accept_any_model", "--accept-any-model", NOTHING),
        "answer to whatever model name a client sends, for tools with a hard-wired one",
    ),
    Option(
        *("cpu_weights", "--cpu-weights", one_of(CpuWeights)),
        "without a GPU: float32 where they fit, which is fastest, or as stored (%(default)s)",
    ),
    Option(
        *("forward", "--forward", one_of(ForwardChoice)),
        "how the batch runs; auto lets a self-check at load decide (%(default)s)",
    ),
    Option(
        *("trust_remote_code", "--trust-remote-code", NOTHING),
        "run code that a model's folder brings along",
    ),
    Option(
        *("generation_config", "--generation-config", one_of(GenerationConfigChoice)),
        "the folder's generation_config.json says how to sample where a request does not (%(default)s)",
    ),
    Option(
        *("allow_special_tokens", "--allow-special-tokens", NOTHING),
        "let the names of special tokens in messages become these tokens, for prompts built by hand",
    ),
)
_BATCH_AND_MEMORY = (
    Option(
        *("max_batch_size", "--max-batch-size", value(positive_int, "N")),
        "chats in the batch at once (%(default)s)",
    ),
    Option(
        *("max_context_tokens", "--max-context", value(positive_int, "TOKENS")),
        "limit of prompt and answer together (default: the model's)",
    ),
    Option(
        *("step_stall_ms", "--step-stall-ms", value(positive_float, "MS")),
        "how long other chats' prompts may hold up a running stream per step (%(default)s)",
    ),
    Option(
        *("speculation", "--speculation", one_of(SpeculationChoice)),
        "let a chat whose text repeats itself take several tokens a step, where it pays (%(default)s)",
    ),
    Option(
        *("draft_model", "--draft-model", value(str, "MODEL")),
        "a small model with the same tokenizer that runs ahead where it pays; answers stay the same",
    ),
    Option(
        *("tune", "--tune", one_of(TuneChoice)),
        "measure at start how steps run best on this device: once, never, or anew (%(default)s)",
    ),
    Option(
        *("max_step_tokens", "--max-step-tokens", value(positive_int, "TOKENS")),
        "most tokens in one forward pass (default: by device)",
    ),
    Option(
        *("kv_memory_bytes", "--kv-memory", value(parse_size, "SIZE")),
        "memory for the chats' keys and values, as 24MB, 8GB, 1.5GiB (default: what is free)",
    ),
    Option(
        *("kv_bits", "--kv-bits", {"type": int, "choices": KV_BITS}),
        "quantise keys and values: longer chats in the same memory, answers differ (default: not)",
    ),
    Option(
        *("prefix_cache", "--prefix-cache", one_of(Switch)),
        "keep what was read of prompts for later ones that begin alike (%(default)s)",
    ),
    Option(
        *("prefix_cache_bytes", "--prefix-cache-memory", value(parse_size, "SIZE")),
        "most of --kv-memory that kept prompts may take (default: half of it)",
    ),
    Option(
        *("share_prefix_cache", "--share-prefix-cache", NOTHING),
        "let clients with different API keys share kept prompts, which tells one what others began with",
    ),
    Option(
        *("prefix_cache_dir", "--prefix-cache-dir", value(path, "DIR")),
        "folder for kept prompts that are to survive a restart (default: none)",
    ),
    Option(
        *("prefix_cache_disk_bytes", "--prefix-cache-disk", value(parse_size, "SIZE")),
        "most that they may take there (default: 10GB, or a tenth of what is free if that is less)",
    ),
)
_LIMITS = (
    Option(
        *("max_queue", "--max-queue", value(non_negative_int, "N")), "waiting requests at most (%(default)s)"
    ),
    Option(
        *("default_max_tokens", "--max-tokens", value(positive_int, "TOKENS")),
        "answer tokens when a client names no limit (default: as far as the context reaches)",
    ),
    Option(*("max_body_bytes", "--max-body", value(parse_size, "SIZE")), "size of a request at most (16MiB)"),
    Option(
        *("request_timeout_seconds", "--request-timeout", value(seconds, "SECONDS")),
        "0 for none (%(default)s)",
    ),
    Option(
        *("stall_timeout_seconds", "--stall-timeout", value(positive_float, "SECONDS")),
        "a step that takes longer means that the engine is dead (%(default)s)",
    ),
    Option(
        *("exit_when_dead", "--exit-when-dead", one_of(Switch)),
        "end the process when its engine is dead, so that another can be started (%(default)s)",
    ),
    Option(
        *("idle_read_seconds", "--idle-read-timeout", value(positive_float, "SECONDS")),
        "a request whose sender makes no progress for longer is cut off (%(default)s)",
    ),
    Option(
        *("drain_seconds", "--drain-seconds", value(seconds, "SECONDS")),
        "how long running requests may go on after SIGINT or SIGTERM (%(default)s)",
    ),
    Option(
        *("keep_alive_seconds", "--keep-alive-seconds", value(positive_float, "SECONDS")),
        "silence in a stream after which a comment line is sent (%(default)s)",
    ),
)
GROUPS = {
    "server": _SERVER,
    "access": _ACCESS,
    "model": _MODEL,
    "batch and memory": _BATCH_AND_MEMORY,
    "limits": _LIMITS,
}
SETTINGS = (MODEL, *chain.from_iterable(GROUPS.values()))

# No settings: where these come from, and what else is to be done with them than serving.
CONFIG_FILE = Option(
    *("config_file", "--config", value(str, "FILE")),
    "settings as TOML, under the options' names; MLX_CHAT_* variables and options go before it",
)
PRINT_CONFIG = Option(
    *("prints_config", "--print-config", NOTHING),
    "print all settings as TOML, each with where it comes from, and end",
)
CHECK = Option(
    *("only_checks", "--check", NOTHING),
    "load and check the model, print the memory plan, and end: 0 means that it can serve",
)
VERSION = Option(*("prints_version", "--version", NOTHING), "print the versions, and end")
COMMANDS = (CONFIG_FILE, PRINT_CONFIG, CHECK, VERSION)
