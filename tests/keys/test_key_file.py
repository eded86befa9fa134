from __future__ import annotations

from pathlib import Path

import pytest

from api.errors import StartupError
from api.keys.key import ApiKey, KeyLimits, hash_of, new_secret
from api.keys.key_file import entry_of, read_key_file

HASH = hash_of("sk-1")


def read(folder: Path, text: str) -> tuple[ApiKey, ...]:
    path = folder / "keys.toml"
    path.write_text(text, encoding="utf-8")
    return read_key_file(str(path))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    keys = (
        ApiKey("ann@example.com", HASH, KeyLimits(60, 1000, 2, 100, -1)),
        ApiKey("bob", hash_of("sk-2"), KeyLimits(tokens_per_minute=5)),
        ApiKey("c.d", hash_of("sk-3")),
    )
    assert read(tmp_path, "\n\n".join(map(entry_of, keys))) == keys


def test_an_empty_file_has_no_keys(tmp_path: Path) -> None:
    assert read(tmp_path, "# nobody yet\n") == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[", "not valid TOML"),
        ("ann = 5", "'ann' is no table"),
        ("[ann]", "'ann' needs hash"),
        ("[ann]\nhash = 'sk-1'", "'ann' needs hash"),
        ("['a b']\nhash = 'sha256:0'", "'a b' is no name"),
        (f"[ann]\nhash = 'sha256:{HASH}'\ntoken_per_minute = 1", "'ann' has 'token_per_minute'"),
        (f"[ann]\nhash = 'sha256:{HASH}'\nmax_tokens = 0", "max_tokens of 'ann' is no whole number from 1"),
        (f"[ann]\nhash = 'sha256:{HASH}'\nmax_tokens = true", "max_tokens of 'ann'"),
        (f"[ann]\nhash = 'sha256:{HASH}'\npriority = 1.5", "priority of 'ann'"),
        (f"[ann]\nhash = 'sha256:{HASH}'\n[bob]\nhash = 'sha256:{HASH}'", "two names have the same hash"),
    ],
)
def test_a_wrong_file_is_said_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(StartupError, match=reason) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="No such file"):
        read_key_file(str(tmp_path / "nowhere"))


def test_keys_that_are_made_cannot_be_guessed() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(each.startswith("sk-") and len(each) > 40 for each in secrets)
