"""The prose of this repository with its place: pages, comments, docstrings, messages, labels and descriptions."""

from __future__ import annotations

import io
import json
import re
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Kind = Literal["word", "sentence", "docstring"]
RULES = Path(__file__).with_name("words.toml")
_ABBREVIATIONS = re.compile(r"\b(e\.g|i\.e|etc|vs|No|N)\.")


@dataclass(frozen=True)
class Text:
    """A piece of prose.

    Attributes
    ----------
    kind
        Rules for words apply to every kind; rules for sentences and docstrings apply only to these.
    """

    path: Path
    line: int
    text: str
    kind: Kind = "word"


@dataclass(frozen=True)
class Rule:
    """A pattern that must not occur in texts of a kind, and the words to use instead."""

    find: re.Pattern[str]
    use: str
    kind: Kind


def rules() -> list[Rule]:
    """Read words.toml."""
    given = tomllib.loads(RULES.read_text(encoding="utf-8"))
    return [
        Rule(re.compile(one["find"], re.IGNORECASE), one["use"], kind) for kind in get_args(Kind) for one in given[kind]
    ]


def texts(path: Path) -> Iterator[Text]:
    """Yield the prose of a file, by its kind."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from markdown(path, content)
    elif path.suffix == ".py":
        yield from python(path, content)
    elif path.suffix == ".json":
        yield from (Text(path, 0, comment) for comment in _comments(json.loads(content)))
    else:
        yield from (Text(path, number, line) for number, line in enumerate(content.splitlines(), 1))


def markdown(path: Path, content: str) -> Iterator[Text]:
    """Yield paragraphs, list items, headings and table cells, without code and addresses; diagrams line by line."""
    paragraph: list[str] = []
    begin, fence = 1, ""
    for number, raw in enumerate([*content.splitlines(), ""], 1):
        line = raw.strip()
        if line.startswith("```"):
            fence = "" if fence else line
            line = ""
        elif fence:
            if fence == "```mermaid":
                yield Text(path, number, line)
            continue
        starts = re.match(r"([-*]|\d+\.) ", line)
        if (not line or starts or line.startswith(("#", "|", "!["))) and paragraph:
            yield Text(path, begin, plain(" ".join(paragraph)), "sentence")
            paragraph = []
        if line.startswith(("#", "|", "![")):
            yield from (Text(path, number, plain(cell)) for cell in line.strip("#|").split("|"))
        elif line and not line.startswith(("<!--", "[")):
            begin = begin if paragraph else number
            paragraph.append(re.sub(r"^([-*]|\d+\.) ", "", line))
        elif line.startswith("[") and "](" in line:
            begin = begin if paragraph else number
            paragraph.append(line)


def python(path: Path, content: str) -> Iterator[Text]:
    """Yield comments, docstrings and messages, and the names of tests as words."""
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        text = token.string
        if token.type == tokenize.STRING and text.startswith('"""'):
            yield Text(path, token.start[0], text.strip('"'), "docstring")
        elif token.type == tokenize.COMMENT or (token.type in _STRINGS and " " in text):
            yield Text(path, token.start[0], text)
        elif token.type == tokenize.NAME and text.startswith("test_"):
            yield Text(path, token.start[0], text.replace("_", " "))


_STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def plain(text: str) -> str:
    """Markdown as it is read: code becomes a word, addresses and emphasis vanish."""
    text = re.sub(r"`[^`]*`", "CODE", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"\*\*?|<!--.*?-->", "", text).strip()


def sentences(text: str) -> list[str]:
    """Split a paragraph."""
    text = _ABBREVIATIONS.sub(lambda match: match[0].replace(".", ""), text)
    return [one.strip() for one in re.split(r"(?<=[.!?:])\s+(?=[A-Z(\"])", text) if one.strip()]


def findings(text: Text, among: list[Rule]) -> Iterator[str]:
    """Yield a message for each rule that a text breaks."""
    parts = sentences(text.text) if text.kind == "sentence" else [text.text]
    for part in parts:
        for rule in among:
            if rule.kind in ("word", text.kind) and (found := rule.find.search(part)):
                yield f"{text.path}:{text.line}: {found[0]!r} in {part[:80]!r}; write: {rule.use}"


def _comments(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("Comment"), str):
            yield node["Comment"]
        for value in node.values():
            yield from _comments(value)
    elif isinstance(node, list):
        for value in node:
            yield from _comments(value)
