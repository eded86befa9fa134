import pytest

from api.command_line.parser import parse_args
from api.command_line.version import VERSION


def test_the_versions_are_printed_whatever_the_settings_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_args(["--version"], {"MLX_CHAT_NONSENSE": "1"})
    assert caught.value.code == 0
    line = capsys.readouterr().out
    assert line.startswith(f"MLX chat server {VERSION} (mlx 0.")
    assert line.count("\n") == 1
    assert "not installed" not in line
