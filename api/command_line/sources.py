"""Settings that are not typed: a TOML file and ``MLX_CHAT_*`` variables, both under the options' names."""

from __future__ import annotations

import argparse
import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from api.command_line.options import CONFIG_FILE, SETTINGS, Option
from api.command_line.values import shown

PREFIX = "MLX_CHAT_"

_SWITCH_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_SWITCH_WORDS |= {"0": False, "false": False, "no": False, "off": False}


class SourceError(Exception):
    """One line that names the file or the variable, and says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Given:
    """One setting as a source has it."""

    option: Option
    value: object  # text, or what TOML has
    source: str  # the file, or the variable
    place: str  # the same, and in a file the name


def variable(option: Option) -> str:
    return PREFIX + option.name.upper().replace("-", "_")


def config_file_of(environ: Mapping[str, str]) -> str | None:
    return environ.get(variable(CONFIG_FILE)) or None


def from_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    """Empty variables count as unset. Raises SourceError for one that no option has."""
    options = {variable(option): option for option in SETTINGS}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == variable(CONFIG_FILE) or not environ[name]:
            continue
        if name not in options:
            raise SourceError(f"{name}: no option has this name{_guess(name, options)}")
        text, option = environ[name], options[name]
        yield Given(option, text.split(",") if option.is_repeatable else text, name, name)


def from_file(path: str) -> Iterator[Given]:
    """Raises SourceError where it cannot be read, or has a name that no option has."""
    options = {option.name: option for option in SETTINGS}
    for name, value in _toml(path).items():
        if name not in options:
            raise SourceError(f"{path}: no option is called {shown(name)}{_guess(name, options)}")
        yield Given(options[name], value, path, f"{path}: {name}")


def _toml(path: str) -> dict[str, object]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # of TOML, and of UTF-8
        raise SourceError(f"{path}: {error}") from error


def _guess(name: str, names: Mapping[str, Option]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"; is {close[0]} meant?" if close else ""


def convert(parser: argparse.ArgumentParser, given: Given) -> object:
    """The value that ``parser``, which must raise its errors, makes of it. Raises SourceError."""
    if given.option.is_switch:
        return _switch(given)
    try:
        namespace = parser.parse_args(_words(given))
    except argparse.ArgumentError as error:
        raise SourceError(f"{given.place}: {error.message}") from error
    return getattr(namespace, given.option.field, ())  # a list of none is no word


def _switch(given: Given) -> bool:
    if isinstance(given.value, bool):
        return given.value
    value = _SWITCH_WORDS.get(given.value.strip().lower()) if isinstance(given.value, str) else None
    if value is None:
        raise SourceError(f"{given.place}: takes true or false")
    return value


def _words(given: Given) -> list[str]:
    """As somebody would type it."""
    value = given.value
    values = value if given.option.is_repeatable and isinstance(value, list) else [value]
    texts = [_text(each, given) for each in values]
    return ["--", *texts] if given.option.is_positional else [f"{given.option.flag}={text}" for text in texts]


def _text(value: object, given: Given) -> str:
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, bool) or not isinstance(value, str | int):
        many = ", or a list of them" if given.option.is_repeatable else ""
        raise SourceError(f"{given.place}: takes a text or a number{many}")
    return str(value)
