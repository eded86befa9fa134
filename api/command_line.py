"""The command line: the one place that reads argv."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import get_args

from api.config import (
    KV_BITS,
    CpuWeights,
    EngineConfig,
    ForwardChoice,
    GenerationConfigChoice,
    LogFormat,
    ServerConfig,
    SpeculationChoice,
    Switch,
    TuneChoice,
)
from api.option_checks import check_draft_model, check_model_is_no_name, check_prefix_cache
from api.option_values import non_negative_int, parse_size, path, port, positive_float, positive_int, seconds


def parse_args(argv: Sequence[str]) -> ServerConfig:
    """Returns the settings that ``argv`` (without the program's name) asks for.

    Exits with code 2 and one line on stderr where a value is wrong.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    check_prefix_cache(parser, args)
    check_model_is_no_name(parser, args)
    check_draft_model(parser, args)
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
        generation_config=args.generation_config,
        speculation=args.speculation,
        draft_model=args.draft_model,
        tune=args.tune,
    )
    return ServerConfig(
        engine=engine,
        host=args.host,
        port=args.port,
        workers=args.workers,
        reload=args.reload,
        verbose=args.verbose,
        log_format=args.log_format,
        served_model_names=tuple(name for group in args.served_model_name for name in group),
        accept_any_model=args.accept_any_model,
        allow_special_tokens=args.allow_special_tokens,
        share_prefix_cache=args.share_prefix_cache,
        max_queue=args.max_queue,
        default_max_tokens=args.max_tokens,
        max_body_bytes=args.max_body,
        request_timeout_seconds=args.request_timeout,
        stall_timeout_seconds=args.stall_timeout,
        exit_when_dead=args.exit_when_dead,
        idle_read_seconds=args.idle_read_timeout,
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
        action="append",
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
    _add_prompt_options(group)


def _add_prompt_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--generation-config",
        choices=get_args(GenerationConfigChoice),
        default=EngineConfig().generation_config,
        help="the folder's generation_config.json says how to sample where a request does not (%(default)s)",
    )
    group.add_argument(
        "--allow-special-tokens",
        action="store_true",
        help="let the names of special tokens in messages become these tokens, for prompts built by hand",
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
    about_draft = "a small model with the same tokenizer that runs ahead where it pays; answers stay the same"
    group.add_argument("--draft-model", metavar="MODEL", help=about_draft)
    about_tune = "measure at start how steps run best on this device: once, never, or anew (%(default)s)"
    group.add_argument("--tune", choices=get_args(TuneChoice), default=defaults.tune, help=about_tune)
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
        "--share-prefix-cache",
        action="store_true",
        help="let clients with different API keys share kept prompts, which tells one what others began with",
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
    group.add_argument(
        "--exit-when-dead",
        choices=get_args(Switch),
        default=defaults.exit_when_dead,
        help="end the process when its engine is dead, so that another can be started (%(default)s)",
    )
    add(
        "--idle-read-timeout",
        positive_float,
        defaults.idle_read_seconds,
        "a request whose sender makes no progress for longer is cut off (%(default)s)",
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
