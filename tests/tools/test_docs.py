"""The documentation names files and symbols that exist, and answers each question of an adopter in one of two ways."""

from __future__ import annotations

import re

from tests.template.reading import ROOT

PAGES = [page for page in ROOT.glob("docs/**/*.md") if page.name != "decisions.md"]  # decisions name what is gone
FOLDERS = "cli|contract|demo|docs|events|functions|glue|laptop_cloud|requirements|statemachine|tests|tools"
MADE = {"glue/rows_per_day.py"}
"""Files that a page tells its reader to write."""
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]+)`")


def test_every_file_that_a_page_names_exists() -> None:
    named = {(page.name, path) for page in PAGES for path in PATH.findall(page.read_text(encoding="utf-8"))}

    assert len(named) > 40
    assert {pair for pair in named if pair[1] not in MADE and not (ROOT / pair[1]).exists()} == set()


def test_every_symbol_that_the_glossary_names_is_in_its_file() -> None:
    named = re.findall(r"`(\w+)` in `([\w/.]+)`", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"))

    assert len(named) > 3
    assert [pair for pair in named if not re.search(rf"\b{pair[0]}\b", (ROOT / pair[1]).read_text("utf-8"))] == []


def test_every_question_of_an_adopter_is_answered_with_yes_and_a_page_or_no_because_and_instead() -> None:
    text = (ROOT / "docs/adopting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*\?) \| (.*) \| (.*) \|$", text, re.MULTILINE)

    assert len(rows) > 25
    for question, answer, page in rows:
        assert re.search(r"\*\*(Yes|No)\b|\*\*(yes|no)\*\*", answer), question
        assert re.search(r"\]\([\w./-]+(#[\w-]+)?\)", page), question
        if re.search(r"\*\*no\b", answer, re.IGNORECASE):
            assert "because" in answer, question
            assert "Instead" in answer, question
