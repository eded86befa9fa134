"""Models from the Hugging Face Hub: the files that mlx-lm needs, with a progress bar."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from api.errors import StartupError

# The files that mlx-lm reads: weights, configuration, tokenizer, template.
_FILE_PATTERNS = [
    "*.json",
    "*.jsonl",
    "*.jinja",
    "*.py",
    "*.tiktoken",
    "*.txt",
    "model*.safetensors",
    "tiktoken.model",
    "tokenizer.model",
]


def is_repo_id(text: str) -> bool:
    """True for ``organisation/name`` as the Hub spells it."""
    if text.count("/") != 1:
        return False
    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return True


def download_repo(repo_id: str) -> Path:
    """Returns the local snapshot of a repository, fetching what is missing. Raises StartupError."""
    try:
        return Path(snapshot_download(repo_id, allow_patterns=_FILE_PATTERNS))
    except GatedRepoError as error:
        raise StartupError(
            f"{repo_id} asks for its terms to be accepted on https://huggingface.co/{repo_id}, "
            "then for a token (HF_TOKEN)"
        ) from error
    except RepositoryNotFoundError as error:
        raise StartupError(
            f"{repo_id!r} is neither a folder here nor a repository on Hugging Face "
            "(a private one needs a token: HF_TOKEN)"
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise StartupError(
            f"{repo_id!r} is no folder here, and Hugging Face cannot be reached to look for it there"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise StartupError(f"cannot download {repo_id}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
