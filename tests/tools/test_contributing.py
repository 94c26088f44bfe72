"""CONTRIBUTING.md names files that exist, and explains the most frequent additions."""

from __future__ import annotations

import re

from tests.template.reading import ROOT

GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MADE = {".venv/bin/python"}
"""Files that the guide names and make creates."""


def test_every_file_that_the_guide_names_exists() -> None:
    named = set(re.findall(r"[`\s]((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:toml|yaml|md))(?=[`\s])", GUIDE)) - MADE
    missing = {name for name in named if not (ROOT / name).exists()}

    assert len(named) > 25
    assert missing == set()


def test_the_guide_explains_the_most_frequent_additions() -> None:
    sections = dict(re.findall(r"^## Add an? (.*)\n\n((?:(?!## ).*\n)*)", GUIDE, re.MULTILINE))
    steps = {what: len(re.findall(r"^\d\. ", text, re.MULTILINE)) for what, text in sections.items()}

    assert steps == {
        "template parameter": 4,
        "`fanout` command": 3,
        "message target": 6,
        "source format": 5,
        "due rule": 5,
    }
