"""The language of this repository: no word of words.toml, short sentences, and pages that link to a next page.

No linter of the package index fits: codespell knows single words only, proselint has fixed rules, and the measures of
textstat count syllables, which means little in sentences with identifiers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.template.reading import ROOT
from tests.tools.prose import Text, findings, markdown, rules, sentences, texts

LONGEST_SENTENCE = 45
"""In words."""
MEAN_SENTENCE = 20
PROSE = (".md", ".py", ".toml", ".yaml", ".yml")
FILES = ("Makefile", "samconfig.toml", "statemachine/change_log.asl.json", "template.yaml")
ABOUT_WORDS = {"words.toml", "test_words.py"}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDES = [page for page in PAGES if page.parent.name != "bench" and page.name != "README.md"]


def ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose_of(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        generated = {"__pycache__", "data"} & set(path.parts)
        if path.suffix in PROSE and not generated and path.name not in ABOUT_WORDS:
            yield path


def everything() -> list[Path]:
    folders = [path for path in ROOT.iterdir() if path.is_dir() and (path.name == ".github" or path.name[0] != ".")]
    return [*(ROOT / name for name in FILES), *ROOT.glob("*.md"), *(f for one in folders for f in prose_of(one))]


def test_every_text_uses_the_words_of_the_field() -> None:
    known = rules()

    assert [finding for path in everything() for text in texts(path) for finding in findings(text, known)] == []


@pytest.mark.parametrize("page", GUIDES, ids=ids)
def test_a_page_begins_with_its_readers_and_ends_with_a_next_page(page: Path) -> None:
    blocks = [block for block in page.read_text(encoding="utf-8").split("\n\n") if not block.startswith(("#", "<!--"))]
    end = page.read_text(encoding="utf-8").rstrip().rsplit("\n## Next", 1)[-1].split("\n\n")
    last = [block for block in end if not block.startswith("[tracking]")][-1]

    assert blocks[0].startswith(("For ", "Reference for ")), blocks[0]
    assert "## Next" in page.read_text(encoding="utf-8") or last.startswith("Next: ") or "see [" in last, last
    assert "](" in last


@pytest.mark.parametrize("page", GUIDES, ids=ids)
def test_the_sentences_of_a_page_are_short(page: Path) -> None:
    paragraphs = [text for text in markdown(page, page.read_text(encoding="utf-8")) if text.kind == "sentence"]
    lengths = {one: len(one.split()) for text in paragraphs for one in sentences(text.text)}

    assert [f"{length} words: {one}" for one, length in lengths.items() if length > LONGEST_SENTENCE] == []
    assert sum(lengths.values()) <= MEAN_SENTENCE * len(lengths)


@pytest.mark.parametrize(
    "sentence",
    [
        "AWS Glue's job bookmark does not bear two runs of one job at a time.",
        "PySpark on Glue does it, or a Lambda when there is little to do.",
        "A config API says how often each one's turn comes.",
        "Of two, one is turned away, or cannot commit.",
        "Not promised: that consumers see no repeat.",
        "S3 told of new objects: their providers have news.",
        "The batch comes again.",
        "The execution ended without a word.",
        "What nobody said.",
        "It ended as if all were well but left no result that says so.",
        "What is kept of a record that is nobody's.",
        "Nobody waits for a place with less time left.",
        "So many refusals are about the role.",
        "Light are the runs that are expected in Lambda.",
        "What of it becomes which field, says its mapping.",
        "Where the old one stands shows the command.",
        "Who has a DynamoDB table need not write a change log.",
        "A RecordError that names object and line comes of a bad number.",
        "It is looked at all the same, for events may get lost.",
        "Who is told of alarms.",
        "That key is of no use.",
        "Who there is.",
        "Your own without it.",
        "Unusable are 3 of 10.",
        "Somebody has to look at it.",
    ],
)
def test_the_bad_examples_are_found(sentence: str) -> None:
    assert list(findings(Text(ROOT, 1, sentence, "sentence"), rules()))


@pytest.mark.parametrize(
    "sentence",
    [
        "AWS Glue job bookmarks don't support concurrent runs of the same job.",
        "A second run is rejected, at claim or at commit.",
        "Handles executions that timed out or were aborted.",
        "3 of 10 entries are invalid.",
        "Read the byte order mark.",
    ],
)
def test_the_good_examples_pass(sentence: str) -> None:
    assert list(findings(Text(ROOT, 1, sentence, "sentence"), rules())) == []
