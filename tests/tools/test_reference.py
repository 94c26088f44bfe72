"""docs/reference/ and docs/openapi.json are what the code says, and the docs' links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.template.reading import ROOT
from tools.reference import pages

LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
PAGES = [
    ROOT / "docs/quickstart.md",
    *sorted((ROOT / "docs/how-to").glob("*.md")),
    *sorted((ROOT / "docs/reference").glob("*.md")),
]


@pytest.mark.parametrize(("path", "text"), [pytest.param(*item, id=item[0].name) for item in pages().items()])
def test_a_generated_page_is_current(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    broken = [link for link in LINK.findall(text) if not (page.parent / link).exists()]

    assert not broken
