"""The server's settings: frozen values, and the one place that reads argv and the environment."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from api.option_values import non_negative_int, parse_size, path, port, positive_float, positive_int, seconds

CpuWeights = Literal["auto", "keep"]
ForwardChoice = Literal["auto", "flat", "grouped", "padded"]
LogFormat = Literal["text", "json"]
SpeculationChoice = Literal["auto", "off"]
Switch = Literal["on", "off"]
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
    speculation: SpeculationChoice = "auto"  # auto: where the measured costs say that it pays


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


def parse_args(argv: Sequence[str]) -> ServerConfig:
    """Returns the settings that ``argv`` (without the program's name) asks for.

    Exits with code 2 and one line on stderr where a value is wrong.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    _check_prefix_cache(parser, args)
    engine = EngineConfig(
        model=args.model,
        max_batch_size=args.max_batch_size,
        max_context_tokens=args.max_context,
        step_stall_ms=args.step_stall_ms,
        max_step_tokens=args.max_step_tokens,
        kv_memory_bytes=args.kv_memory,
        kv_bits=args.kv_bits,
        prefix_cache=args.prefix_cache,
        prefix_cache_bytes=args.prefix_cache_memory,
        prefix_cache_dir=args.prefix_cache_dir,
        prefix_cache_disk_bytes=args.prefix_cache_disk,
        cpu_weights=args.cpu_weights,
        forward=args.forward,
        trust_remote_code=args.trust_remote_code,
        speculation=args.speculation,
    )
    return ServerConfig(
        engine=engine,
        host=args.host,
        port=args.port,
        workers=args.workers,
        reload=args.reload,
        verbose=args.verbose,
        log_format=args.log_format,
        served_model_names=tuple(args.served_model_name),
        accept_any_model=args.accept_any_model,
        max_queue=args.max_queue,
        default_max_tokens=args.max_tokens,
        max_body_bytes=args.max_body,
        request_timeout_seconds=args.request_timeout,
        stall_timeout_seconds=args.stall_timeout,
        drain_seconds=args.drain_seconds,
        keep_alive_seconds=args.keep_alive_seconds,
    )


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="app.py",
        description="OpenAI-compatible chat completions on MLX, with continuous batching.",
        usage="%(prog)s [MODEL] [options]",  # short, because it precedes every message about a wrong value
        allow_abbrev=False,
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="folder in MLX format, Hugging Face repo id or .gguf file (default: the small embedded model)",
    )
    _add_network_options(parser)
    _add_model_options(parser)
    _add_engine_options(parser)
    _add_limit_options(parser)
    return parser


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    group, defaults = parser.add_argument_group("server"), ServerConfig()
    group.add_argument("--host", default=defaults.host, help="address to listen on (%(default)s)")
    group.add_argument("--port", type=port, default=defaults.port, help="port, 0 for any (%(default)s)")
    group.add_argument(
        "--workers",
        metavar="N",
        type=positive_int,
        default=defaults.workers,
        help="processes behind the port, each with its own weights (%(default)s)",
    )
    group.add_argument("--reload", action="store_true", help="restart when the code changes")
    group.add_argument("--verbose", action="store_true", help="log requests and responses too")
    group.add_argument(
        "--log-format",
        choices=get_args(LogFormat),
        default=defaults.log_format,
        help="log lines for people or for programs (%(default)s)",
    )


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group, defaults = parser.add_argument_group("model"), EngineConfig()
    group.add_argument(
        "--served-model-name",
        metavar="NAME",
        nargs="+",
        action="extend",
        default=[],
        help="names that clients may use besides 'model' (default: the path and its last part)",
    )
    group.add_argument(
        "--accept-any-model",
        action="store_true",
        help="answer to whatever model name a client sends, for tools with a hard-wired one",
    )
    group.add_argument(
        "--cpu-weights",
        choices=get_args(CpuWeights),
        default=defaults.cpu_weights,
        help="without a GPU: float32 where they fit, which is fastest, or as stored (%(default)s)",
    )
    group.add_argument(
        "--forward",
        choices=get_args(ForwardChoice),
        default=defaults.forward,
        help="how the batch runs; auto lets a self-check at load decide (%(default)s)",
    )
    group.add_argument(
        "--trust-remote-code", action="store_true", help="run code that a model's folder brings along"
    )


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    group, defaults = parser.add_argument_group("batch and memory"), EngineConfig()
    group.add_argument(
        "--max-batch-size",
        metavar="N",
        type=positive_int,
        default=defaults.max_batch_size,
        help="chats in the batch at once (%(default)s)",
    )
    group.add_argument(
        "--max-context",
        metavar="TOKENS",
        type=positive_int,
        help="limit of prompt and answer together (default: the model's)",
    )
    group.add_argument(
        "--step-stall-ms",
        metavar="MS",
        type=positive_float,
        default=defaults.step_stall_ms,
        help="how long other chats' prompts may hold up a running stream per step (%(default)s)",
    )
    group.add_argument(
        "--speculation",
        choices=get_args(SpeculationChoice),
        default=defaults.speculation,
        help="let a chat whose text repeats itself take several tokens a step, where it pays (%(default)s)",
    )
    about_step = "most tokens in one forward pass (default: by device)"
    group.add_argument("--max-step-tokens", metavar="TOKENS", type=positive_int, help=about_step)
    _add_memory_options(group)


def _add_memory_options(group: argparse._ArgumentGroup) -> None:
    defaults = EngineConfig()
    group.add_argument(
        "--kv-memory",
        metavar="SIZE",
        type=parse_size,
        help="memory for the chats' keys and values, as 24MB, 8GB, 1.5GiB (default: what is free)",
    )
    group.add_argument(
        "--kv-bits",
        type=int,
        choices=KV_BITS,
        help="quantise keys and values: longer chats in the same memory, answers differ (default: not)",
    )
    group.add_argument(
        "--prefix-cache",
        choices=get_args(Switch),
        default=defaults.prefix_cache,
        help="keep what was read of prompts for later ones that begin alike (%(default)s)",
    )
    group.add_argument(
        "--prefix-cache-memory",
        metavar="SIZE",
        type=parse_size,
        help="most of --kv-memory that kept prompts may take (default: half of it)",
    )
    group.add_argument(
        "--prefix-cache-dir",
        metavar="DIR",
        type=path,
        help="folder for kept prompts that are to survive a restart (default: none)",
    )
    group.add_argument(
        "--prefix-cache-disk",
        metavar="SIZE",
        type=parse_size,
        help="most that they may take there (default: 10GB, or a tenth of what is free if that is less)",
    )


def _add_limit_options(parser: argparse.ArgumentParser) -> None:
    group, defaults = parser.add_argument_group("limits"), ServerConfig()

    def add(flag: str, kind: Callable[[str], object], default: object, text: str, metavar: str) -> None:
        group.add_argument(flag, type=kind, default=default, help=text, metavar=metavar)

    add("--max-queue", non_negative_int, defaults.max_queue, "waiting requests at most (%(default)s)", "N")
    add(
        "--max-tokens",
        positive_int,
        None,
        "answer tokens when a client names no limit (default: as far as the context reaches)",
        "TOKENS",
    )
    add("--max-body", parse_size, defaults.max_body_bytes, "size of a request at most (16MiB)", "SIZE")
    add("--request-timeout", seconds, defaults.request_timeout_seconds, "0 for none (%(default)s)", "SECONDS")
    add(
        "--stall-timeout",
        positive_float,
        defaults.stall_timeout_seconds,
        "a step that takes longer means that the engine is dead (%(default)s)",
        "SECONDS",
    )
    add(
        "--drain-seconds",
        seconds,
        defaults.drain_seconds,
        "how long running requests may go on after SIGINT or SIGTERM (%(default)s)",
        "SECONDS",
    )
    add(
        "--keep-alive-seconds",
        positive_float,
        defaults.keep_alive_seconds,
        "silence in a stream after which a comment line is sent (%(default)s)",
        "SECONDS",
    )


def _check_prefix_cache(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.prefix_cache_memory is not None and args.prefix_cache == "off":
        parser.error("--prefix-cache-memory needs --prefix-cache on")
    if args.prefix_cache_disk is not None and args.prefix_cache_dir is None:
        parser.error("--prefix-cache-disk needs --prefix-cache-dir")
    if args.prefix_cache_dir is not None and args.prefix_cache == "off":
        parser.error("--prefix-cache-dir needs --prefix-cache on")
