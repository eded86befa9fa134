from __future__ import annotations

import stat
from pathlib import Path

import pytest

from api.keys.__main__ import main
from api.keys.key import hash_of
from api.keys.key_file import read_key_file


def test_a_key_is_shown_once_and_its_hash_is_for_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "ann"]) == 0
    out, err = capsys.readouterr()
    secret = out.strip()
    assert secret not in err
    assert f'["ann"]\nhash = "sha256:{hash_of(secret)}"\n' in err


def test_keys_are_added_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys.toml"
    secrets = []
    for name in ("ann", "bob"):
        assert main(["new", name, "--file", str(path)]) == 0
        secrets.append(capsys.readouterr().out.strip())
    assert [(key.name, key.hash) for key in read_key_file(str(path))] == [
        ("ann", hash_of(secrets[0])),
        ("bob", hash_of(secrets[1])),
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(each in path.read_text(encoding="utf-8") for each in secrets)


def test_a_name_is_not_taken_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "keys.toml")
    assert main(["new", "ann", "--file", path]) == 0
    capsys.readouterr()
    assert main(["new", "ann", "--file", path]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "'ann' already" in err


@pytest.mark.parametrize("name", ["", "a b", "a]", 'a"', "a\nb", "x" * 65])
def test_names_that_would_break_a_file_or_a_log_line(name: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["new", name])
    assert caught.value.code == 2


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "ann", "--file", str(tmp_path / "no" / "keys.toml")]) == 2
    assert "cannot write" in capsys.readouterr().err
