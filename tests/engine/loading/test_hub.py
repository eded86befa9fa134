from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from api.engine.loading import hub
from api.engine.loading.hub import download_repo, is_repo_id
from api.errors import StartupError

RESPONSE: Any = httpx.Response(404, request=httpx.Request("GET", "https://huggingface.co/api"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/name", True),
        ("org/na.me-4bit_x", True),
        ("name", False),
        ("a/b/c", False),
        ("a//b", False),
        ("a/b c", False),
    ],
)
def test_repo_ids(text: str, expected: bool) -> None:
    assert is_repo_id(text) is expected


def test_fetches_what_mlx_lm_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def snapshot(repo_id: str, **options: Any) -> str:
        asked.update(options, repo_id=repo_id)
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    assert download_repo("org/name") == tmp_path
    assert asked["repo_id"] == "org/name"
    from mlx_lm.utils import DEFAULT_ALLOW_PATTERNS

    assert set(asked["allow_patterns"]) == set(DEFAULT_ALLOW_PATTERNS)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (GatedRepoError("gated", response=RESPONSE), "terms"),
        (RepositoryNotFoundError("gone", response=RESPONSE), "neither a folder here nor a repository"),
        (LocalEntryNotFoundError("offline"), "cannot be reached"),
        (OfflineModeIsEnabled("offline"), "cannot be reached"),
        (
            HfHubHTTPError("500 broken\nsecond line", response=RESPONSE),
            "cannot download org/name: 500 broken$",
        ),
        (OSError("no space left"), "no space left"),
    ],
)
def test_errors_are_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, message: str) -> None:
    def fail(repo_id: str, **_: Any) -> str:
        raise error

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(StartupError, match=message) as caught:
        download_repo("org/name")
    assert "\n" not in str(caught.value)
