"""The pages say what is there: files by their names, links that lead somewhere, every option."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.command_line.parser import parse_args

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
CODE_FOLDERS = ("api", "tests", "benchmarks")


def python_files() -> set[str]:
    """Paths from the root, with ``/`` before them."""
    inner = [path for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return {f"/{path.relative_to(ROOT).as_posix()}" for path in (*ROOT.glob("*.py"), *inner)}


def is_there(name: str, files: set[str]) -> bool:
    """Whether a file has this name, in whatever room."""
    return any(path.endswith(f"/{name}") for path in files)


def named_files(text: str) -> set[str]:
    return set(re.findall(r"`([\w/]+\.py)`", text))


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    files = python_files()
    named = named_files(page.read_text(encoding="utf-8"))
    assert [name for name in sorted(named) if not is_there(name, files)] == []


def code_files() -> list[Path]:
    return [*ROOT.glob("*.py"), *(path for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*.py"))]


def test_files_that_comments_name_exist() -> None:
    files = python_files()
    named = {
        name for path in code_files() for name in re.findall(r"``([\w/]+\.py)``", path.read_text("utf-8"))
    }
    assert len(named) > 20
    assert [name for name in sorted(named) if not is_there(name, files)] == []


def test_the_map_names_files() -> None:
    assert len(named_files((DOCS / "architecture.md").read_text(encoding="utf-8"))) > 50
    assert not is_there("scheduler_of_old.py", python_files())
    assert not is_there("duler.py", python_files())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    own = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in own if not leads_somewhere(page, link)] == []


def test_every_option_is_described_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_args(["--help"])
    offered = re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE)
    page = (DOCS / "options.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `--")]
    described = [flag for row in rows for flag in re.findall(r"--[a-z-]+", row)]
    assert len(offered) > 20
    assert sorted(described) == sorted(offered)
