"""Every setting with its source: what is typed before variables, before the file, before the default."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from api.command_line.options import GROUPS, MODEL, SETTINGS, Option
from api.command_line.sources import convert, from_environment, from_file
from api.config import ServerConfig

DEFAULT = "default"
TYPED = "command line"


@dataclass(frozen=True, slots=True)
class Setting:
    """What an option's field gets."""

    value: object
    source: str


def gather(
    parser: argparse.ArgumentParser,
    typed: Mapping[str, object],
    environ: Mapping[str, str],
    config_file: str | None,
) -> dict[str, Setting]:
    """By the options' fields. ``parser`` converts, and must raise its errors. Raises SourceError."""
    settings = {option.field: Setting(default_of(option.field), DEFAULT) for option in SETTINGS}
    for given in chain(from_file(config_file) if config_file else (), from_environment(environ)):
        settings[given.option.field] = Setting(convert(parser, given), given.source)
    return settings | {field: Setting(value, TYPED) for field, value in typed.items()}


def default_of(field: str) -> object:
    server = ServerConfig()
    return getattr(server.engine if hasattr(server.engine, field) else server, field)


def to_toml(settings: Mapping[str, Setting]) -> str:
    """As ``--config`` takes it; what is not set and what is secret stands there as a comment."""
    blocks = [_line(MODEL, settings)]
    for title, options in GROUPS.items():
        blocks += ["", f"# {title}", *(_line(option, settings) for option in options)]
    return "\n".join(blocks)


def _line(option: Option, settings: Mapping[str, Setting]) -> str:
    setting = settings[option.field]
    if setting.value is None:
        return f"# {option.name} is not set  # {setting.source}"
    if option.is_secret:
        return (
            f"# {option.name} is {'set' if setting.value else 'not set'}, and not shown  # {setting.source}"
        )
    return f"{option.name} = {_toml_value(setting.value)}  # {setting.source}"


def _toml_value(value: object) -> str:
    """Texts, numbers, lists and truth values are written as in JSON."""
    return json.dumps(flat(value) if isinstance(value, list | tuple) else value, ensure_ascii=False)


def flat(values: list[object] | tuple[object, ...]) -> tuple[object, ...]:
    """An option that is repeated, and takes several values each time, as one list."""
    return tuple(chain.from_iterable(each if isinstance(each, list) else [each] for each in values))
