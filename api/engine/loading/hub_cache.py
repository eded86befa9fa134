"""Folders of huggingface_hub's cache, given by their path: ``models--org--name/snapshots/<commit>``."""

from __future__ import annotations

from pathlib import Path

from api.errors import StartupError

_PREFIX = "models--"
_SNAPSHOTS = "snapshots"


def resolve_snapshot(folder: Path) -> Path:
    """Returns where a cached repository's files lie; any other folder stays as it is.

    That is the commit which the branch ``main`` had when it was fetched last, else the newest one there.
    """
    snapshots = folder / _SNAPSHOTS
    if (folder / "config.json").is_file() or not snapshots.is_dir():
        return folder
    main = _commit_of_main(folder)
    if main is not None and (snapshots / main).is_dir():
        return snapshots / main
    there = sorted((each for each in snapshots.iterdir() if each.is_dir()), key=_changed_seconds)
    if not there:
        raise StartupError(
            f"{folder} is a Hugging Face cache folder without a snapshot: fetch the model again"
        )
    return there[-1]


def cached_names(snapshot: Path) -> tuple[str, ...]:
    """Returns the names of the repository that a snapshot belongs to; none for any other folder."""
    repository = snapshot.absolute().parent.parent.name
    if snapshot.absolute().parent.name != _SNAPSHOTS or not repository.startswith(_PREFIX):
        return ()
    parts = repository.removeprefix(_PREFIX).split("--")
    return "/".join(parts), parts[-1]


def _commit_of_main(folder: Path) -> str | None:
    try:
        commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return commit if commit.isalnum() else None


def _changed_seconds(folder: Path) -> float:
    return folder.stat().st_mtime
