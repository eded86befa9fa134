"""The command line: the one place that reads argv."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from itertools import chain
from typing import Any

from api.command_line.checks import (
    check_draft_model,
    check_model_is_no_name,
    check_prefix_cache,
    check_tls,
)
from api.command_line.options import GROUPS, MODEL, Option
from api.config import EngineConfig, ServerConfig


def parse_args(argv: Sequence[str]) -> ServerConfig:
    """Returns the settings that ``argv`` (without the program's name) asks for.

    Exits with code 2 and one line on stderr where a value is wrong.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    check_prefix_cache(parser, args)
    check_model_is_no_name(parser, args)
    check_draft_model(parser, args)
    check_tls(parser, args)
    values = vars(args)
    values["served_model_names"] = tuple(chain.from_iterable(values["served_model_names"]))
    values |= {name: tuple(values[name]) for name in ("api_key_hashes", "cors_origins")}
    engine = EngineConfig(**{field.name: values.pop(field.name) for field in fields(EngineConfig)})
    return ServerConfig(engine=engine, **values)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="app.py",
        description="OpenAI-compatible chat completions on MLX, with continuous batching.",
        usage="%(prog)s [MODEL] [options]",  # short, because it precedes every message about a wrong value
        allow_abbrev=False,
    )
    parser.add_argument(MODEL.flag, help=MODEL.help, **MODEL.takes)
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title)
        for option in options:
            _add(group, option)
    return parser


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    arguments: dict[str, Any] = {"default": _default(option.field), "help": option.help} | dict(option.takes)
    group.add_argument(option.flag, dest=option.field, **arguments)


def _default(field: str) -> object:
    server = ServerConfig()
    return getattr(server.engine if hasattr(server.engine, field) else server, field)
