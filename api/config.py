"""The server's settings: frozen values, and the one place that reads argv and the environment."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

CpuWeights = Literal["auto", "keep"]
ForwardChoice = Literal["auto", "flat", "padded"]
LogFormat = Literal["text", "json"]
Switch = Literal["on", "off"]


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What the model and its batch need; nothing here knows of HTTP."""

    model: str | None = None  # folder, Hugging Face repo id or .gguf file; None: the embedded default
    max_batch_size: int = 32  # sequences in the batch at once
    max_context_tokens: int | None = None  # None: what the model's config says
    step_stall_ms: float = 130.0  # how much longer than plain decode a step may take to read prompts
    max_step_tokens: int | None = None  # upper bound of rows in one forward; None: by device
    kv_memory_bytes: int | None = None  # None: from the device's limit less weights and a margin
    prefix_cache: Switch = "on"
    prefix_cache_bytes: int | None = None  # of kv_memory_bytes, at most; None: half of it
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


def parse_args(argv: Sequence[str]) -> ServerConfig:
    """Returns the settings that ``argv`` (without the program's name) asks for.

    Exits with code 2 and one line on stderr where a value is wrong.
    """
    args = build_parser().parse_args(argv)
    engine = EngineConfig(
        model=args.model,
        max_batch_size=args.max_batch_size,
        max_context_tokens=args.max_context,
        step_stall_ms=args.step_stall_ms,
        max_step_tokens=args.max_step_tokens,
        kv_memory_bytes=args.kv_memory,
        prefix_cache=args.prefix_cache,
        prefix_cache_bytes=args.prefix_cache_memory,
        cpu_weights=args.cpu_weights,
        forward=args.forward,
        trust_remote_code=args.trust_remote_code,
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
    group.add_argument("--port", type=_port, default=defaults.port, help="port, 0 for any (%(default)s)")
    group.add_argument(
        "--workers",
        metavar="N",
        type=_positive_int,
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
        type=_positive_int,
        default=defaults.max_batch_size,
        help="chats in the batch at once (%(default)s)",
    )
    group.add_argument(
        "--max-context",
        metavar="TOKENS",
        type=_positive_int,
        help="limit of prompt and answer together (default: the model's)",
    )
    group.add_argument(
        "--step-stall-ms",
        metavar="MS",
        type=_positive_float,
        default=defaults.step_stall_ms,
        help="how long other chats' prompts may hold up a running stream per step (%(default)s)",
    )
    group.add_argument(
        "--max-step-tokens",
        metavar="TOKENS",
        type=_positive_int,
        help="most tokens in one forward pass (default: by device)",
    )
    group.add_argument(
        "--kv-memory",
        metavar="SIZE",
        type=parse_size,
        help="memory for the chats' keys and values, as 24MB, 8GB, 1.5GiB (default: what is free)",
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


def _add_limit_options(parser: argparse.ArgumentParser) -> None:
    group, defaults = parser.add_argument_group("limits"), ServerConfig()

    def add(flag: str, kind: Callable[[str], object], default: object, text: str, metavar: str) -> None:
        group.add_argument(flag, type=kind, default=default, help=text, metavar=metavar)

    add("--max-queue", _non_negative_int, defaults.max_queue, "waiting requests at most (%(default)s)", "N")
    add(
        "--max-tokens",
        _positive_int,
        None,
        "answer tokens when a client names no limit (default: as far as the context reaches)",
        "TOKENS",
    )
    add("--max-body", parse_size, defaults.max_body_bytes, "size of a request at most (16MiB)", "SIZE")
    add(
        "--request-timeout", _seconds, defaults.request_timeout_seconds, "0 for none (%(default)s)", "SECONDS"
    )
    add(
        "--stall-timeout",
        _positive_float,
        defaults.stall_timeout_seconds,
        "a step that takes longer means that the engine is dead (%(default)s)",
        "SECONDS",
    )
    add(
        "--drain-seconds",
        _seconds,
        defaults.drain_seconds,
        "how long running requests may go on after SIGINT or SIGTERM (%(default)s)",
        "SECONDS",
    )
    add(
        "--keep-alive-seconds",
        _positive_float,
        defaults.keep_alive_seconds,
        "silence in a stream after which a comment line is sent (%(default)s)",
        "SECONDS",
    )


_UNIT_BYTES = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_UNIT_BYTES |= {"KI": 1024, "MI": 1024**2, "GI": 1024**3, "TI": 1024**4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*((?:[KMGT]I?)?)B?", re.IGNORECASE | re.ASCII)


def parse_size(text: str) -> int:
    """Bytes of a size such as ``24MB``, ``8GB``, ``1.5GiB`` or ``1000``; at least 1."""
    match = _SIZE.fullmatch(text.strip())
    num_bytes = int(float(match[1]) * _UNIT_BYTES[match[2].upper()]) if match else 0
    if num_bytes < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it as 24MB, 8GB or 1.5GiB")
    return num_bytes


def _positive_int(text: str) -> int:
    return _int_from(text, 1)


def _non_negative_int(text: str) -> int:
    return _int_from(text, 0)


def _port(text: str) -> int:
    port = _non_negative_int(text)
    if port > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; ports end at 65535")
    return port


def _int_from(text: str, minimum: int) -> int:
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII) or int(text) < minimum:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {minimum} on")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d+)?|\.\d+", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return float(text)


def _positive_float(text: str) -> float:
    value = _seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value
