from dataclasses import fields

from api.command_line.options import GROUPS, MODEL
from api.config import EngineConfig, ServerConfig


def test_every_setting_has_one_option() -> None:
    settings = [field.name for kind in (EngineConfig, ServerConfig) for field in fields(kind)]
    settings.remove("engine")
    options = [MODEL, *(option for options in GROUPS.values() for option in options)]
    assert sorted(option.field for option in options) == sorted(settings)
    assert len({option.flag for option in options}) == len(options)
