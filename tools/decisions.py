"""The table of contents of docs/decisions.md, and the decisions to which code refers."""

from __future__ import annotations

import re
from pathlib import Path

from tools.sections import renewed

ROOT = Path(__file__).parents[1]
_HEADING = re.compile(r"^## (D\d+ · .*)$", re.MULTILINE)
_REFERENCE = re.compile(r"docs/decisions\.md, (D\d+)")


def page(text: str) -> str:
    """Return docs/decisions.md with a new table of contents."""
    entries = [f"- [{heading}](#{_anchor(heading)})" for heading in _HEADING.findall(text)]
    return renewed(text, {"contents": "\n".join(entries)})


def _anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading: lower case, no punctuation, a hyphen for each space."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def numbers(text: str) -> list[str]:
    """The numbers of the decisions, in the order of the page."""
    return [heading.partition(" ")[0] for heading in _HEADING.findall(text)]


def references(text: str) -> set[str]:
    """The numbers of the decisions to which files of the project refer."""
    return set(_REFERENCE.findall(text))
