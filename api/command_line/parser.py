"""The command line: the one place that reads argv, and has the other sources read."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from api.command_line.checks import (
    check_draft_model,
    check_model_is_no_name,
    check_prefix_cache,
    check_tls,
)
from api.command_line.options import COMMANDS, GROUPS, MODEL, SETTINGS, Option
from api.command_line.settings import DEFAULT, TYPED, Setting, default_of, flat, gather, to_toml
from api.command_line.sources import SourceError, config_file_of
from api.command_line.version import version_line
from api.config import EngineConfig, ServerConfig


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What is to be done, and by which settings."""

    config: ServerConfig
    only_checks: bool  # instead of serving


def parse_args(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> ServerConfig:
    """The settings of ``read_command_line`` alone."""
    return read_command_line(argv, environ).config


def read_command_line(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> CommandLine:
    """Returns what ``argv`` (without the program's name), ``environ`` and the settings file ask for.

    ``environ``: None: the process's own. Exits with code 2 and one line on stderr where a value is wrong,
    and with 0 where something was only to be printed.
    """
    parser = build_parser()
    environ = os.environ if environ is None else environ
    typed = vars(parser.parse_args(argv))
    asked = {option.field: typed.pop(option.field, None) for option in COMMANDS}
    if asked["prints_version"]:
        _print_and_exit(version_line())
    try:
        converter = build_parser(exit_on_error=False)
        settings = gather(converter, typed, environ, asked["config_file"] or config_file_of(environ))
    except SourceError as error:
        parser.error(str(error))
    _check(parser, settings)
    if asked["prints_config"]:
        _print_and_exit(to_toml(settings))
    return CommandLine(_to_config(settings), only_checks=bool(asked["only_checks"]))


def _print_and_exit(text: str) -> NoReturn:
    print(text)
    raise SystemExit(0)


def _check(parser: OptionsParser, settings: Mapping[str, Setting]) -> None:
    parser.sources = {
        option.flag: settings[option.field].source for option in SETTINGS if not option.is_positional
    }
    args = argparse.Namespace(**{field: setting.value for field, setting in settings.items()})
    check_prefix_cache(parser, args)
    check_model_is_no_name(parser, args)
    check_draft_model(parser, args)
    check_tls(parser, args)


def _to_config(settings: Mapping[str, Setting]) -> ServerConfig:
    values: dict[str, Any] = {
        field: flat(each.value) if isinstance(each.value, list | tuple) else each.value
        for field, each in settings.items()
    }
    engine = EngineConfig(**{field.name: values.pop(field.name) for field in fields(EngineConfig)})
    return ServerConfig(engine=engine, **values)


class OptionsParser(argparse.ArgumentParser):
    """An error that names an option also says where its value came from, if it was not typed."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.sources: Mapping[str, str] = {}  # by flag

    def error(self, message: str) -> NoReturn:
        named = [flag for flag in self.sources if re.search(rf"{flag}(?![\w-])", message)]
        sources = [f"{flag} is from {self.sources[flag]}" for flag in named if self._is_foreign(flag)]
        super().error("; ".join([message, *sources]))

    def _is_foreign(self, flag: str) -> bool:
        return self.sources[flag] not in (DEFAULT, TYPED)


def build_parser(exit_on_error: bool = True) -> OptionsParser:
    """It leaves out what is not given: the other sources come before the defaults."""
    parser = OptionsParser(
        prog="app.py",
        description="OpenAI-compatible chat completions on MLX, with continuous batching.",
        usage="%(prog)s [MODEL] [options]",  # short, because it precedes every message about a wrong value
        allow_abbrev=False,
        exit_on_error=exit_on_error,
    )
    parser.add_argument(MODEL.flag, help=MODEL.help, **(dict(MODEL.takes) | {"default": argparse.SUPPRESS}))
    for title, options in GROUPS.items():
        _add(parser.add_argument_group(title), options)
    _add(parser.add_argument_group("settings and checks"), COMMANDS)
    return parser


def _add(group: argparse._ArgumentGroup, options: Sequence[Option]) -> None:
    for option in options:
        arguments: dict[str, Any] = dict(option.takes) | {"default": argparse.SUPPRESS}
        group.add_argument(option.flag, dest=option.field, help=_help(option), **arguments)


def _help(option: Option) -> str:
    return (
        option.help
        if option in COMMANDS
        else option.help.replace("%(default)s", str(default_of(option.field)))
    )
