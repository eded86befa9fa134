from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from api.errors import StartupError
from api.keys import key_ring
from api.keys.key import ApiKey, KeyLimits, hash_of
from api.keys.key_file import entry_of
from api.keys.key_ring import KeyRing


def write(path: Path, *keys: ApiKey) -> None:
    path.write_text("\n\n".join(map(entry_of, keys)), encoding="utf-8")


def name_of(ring: KeyRing, secret: str) -> str | None:
    tenant = ring.find(secret)
    return tenant and tenant.key.name


ANN, BOB = ApiKey("ann", hash_of("sk-ann")), ApiKey("bob", hash_of("sk-bob"))


def test_keys_of_the_command_line_and_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    write(path, ANN, BOB)
    ring = KeyRing([hash_of("one"), hash_of("two")], str(path))
    names = [name_of(ring, each) for each in ("one", "two", "sk-ann", "sk-bob", "sk-cid", "", ANN.hash, "ké")]
    assert names == ["key 1", "key 2", "ann", "bob", None, None, None, None]


def test_only_keys_make_a_guard(tmp_path: Path) -> None:
    empty = tmp_path / "keys.toml"
    empty.touch()
    assert not KeyRing([], None).is_guarding
    assert KeyRing(["0" * 64], None).is_guarding
    assert KeyRing([], str(empty)).is_guarding


def test_all_keys_are_compared_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    ring, compared = KeyRing([hash_of(each) for each in "abc"], None), []
    monkeypatch.setattr(key_ring.hmac, "compare_digest", lambda a, b: compared.append(a) or a == b)
    for secret in ("a", "c", "none"):
        ring.find(secret)
    assert len(compared) == 9


def test_a_reload_takes_the_new_keys_and_forgets_no_use(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    limited = ApiKey("ann", ANN.hash, KeyLimits(requests_per_minute=2))
    write(path, limited, BOB)
    ring = KeyRing([], str(path))
    before = ring.find("sk-ann")
    assert before is not None
    before.meter.enter()
    write(path, limited, ApiKey("cid", hash_of("sk-cid")))
    with capture_logs() as lines:
        ring.reload()
    assert [name_of(ring, f"sk-{each}") for each in ("ann", "bob", "cid")] == ["ann", None, "cid"]
    after = ring.find("sk-ann")
    assert after is not None
    assert after.meter.headers()["x-ratelimit-remaining-requests"] == "1"
    assert [(line["event"], line["keys"]) for line in lines] == [("API keys reloaded", 2)]


def test_a_wrong_file_ends_a_start_but_not_a_server(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    write(path, ANN)
    ring = KeyRing([], str(path))
    path.write_text("[", encoding="utf-8")
    with pytest.raises(StartupError):
        KeyRing([], str(path))
    with capture_logs() as lines:
        ring.reload()
    assert lines[0]["log_level"] == "error"
    assert name_of(ring, "sk-ann") == "ann"
