"""docs/reference/ and docs/openapi.json match the code, and every link of the docs has a target."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.template.reading import ROOT
from tools.reference import pages

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(("path", "content"), [pytest.param(*item, id=item[0].name) for item in pages().items()])
def test_a_generated_page_is_current(path: Path, content: Callable[[], str]) -> None:
    assert path.read_text(encoding="utf-8") == content(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_has_a_target(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    broken = [
        (link, part) for link, part in LINK.findall(text) if not leads(page.parent / link if link else page, part)
    ]

    assert not broken


def leads(target: Path, part: str) -> bool:
    """Whether the file exists and, if the link has a fragment, a heading with that anchor on GitHub."""
    if not target.exists() or not part:
        return target.exists()
    headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
    return part in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
