"""The documentation: its links lead somewhere, and all of it can be found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("example_projects/*/*.md")]
LINK = re.compile(r"\]\(([^)#\s]+)")


def targets(page: Path) -> set[Path]:
    """Return the files that a page links to."""
    links = LINK.findall(page.read_text(encoding="utf-8"))
    return {(page.parent / link).resolve() for link in links if "://" not in link}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    assert [str(target) for target in targets(page) if not target.exists()] == []


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = targets(ROOT / "docs/index.md")
    pages = set(ROOT.glob("docs/**/*.md")) - {ROOT / "docs/index.md"}
    assert {page.name for page in pages - listed} == set()
