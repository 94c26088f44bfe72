"""The tables of docs/guarantees.md, from the markers on the tests and the titles in tests/faults/cases.toml.

Tests are parsed, not imported, so that `make docs` needs neither Spark nor moto.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.sections import renewed

ROOT = Path(__file__).parents[1]
CASES = ROOT / "tests/faults/cases.toml"
MARKERS = ("guarantee", "fault")


@dataclass(frozen=True)
class MarkedTest:
    """A test that shows a guarantee or covers a fault case.

    Attributes
    ----------
    path
        Its file, relative to the repository.
    name
        The function's name.
    mark
        The guarantee ("G1") or the number of the fault case ("17").
    """

    path: str
    name: str
    mark: str

    @property
    def link(self) -> str:
        """A Markdown link with the name as a sentence."""
        words = re.sub(r"^test_(data_\d+_|standard_\d+_)?", "", self.name).replace("_", " ")
        return f"[{words}](../{self.path})"


def marked_tests(folder: Path = ROOT / "tests") -> Iterator[MarkedTest]:
    """Every marker of a test below a folder, in the order of files and lines."""
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                shown = path.relative_to(folder.parent).as_posix()
                yield from (MarkedTest(shown, node.name, mark) for mark in _marks(node))


def _marks(test: ast.FunctionDef) -> Iterator[str]:
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in {f"pytest.mark.{m}" for m in MARKERS}:
            yield from (str(ast.literal_eval(argument)) for argument in decorator.args)


def titles() -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Guarantee -> what it promises, and group -> fault case -> title."""
    cases = tomllib.loads(CASES.read_text(encoding="utf-8"))
    return cases["guarantees"], cases["faults"]


def page(text: str) -> str:
    """Return docs/guarantees.md with its tables renewed."""
    shown: defaultdict[str, list[str]] = defaultdict(list)
    for test in marked_tests():
        shown[test.mark].append(test.link)
    guarantees, groups = titles()
    promised = _table(("", "guarantee", "shown by"), ((f"**{n}**", title, shown[n]) for n, title in guarantees.items()))
    cases = (
        f"### {group}\n\n" + _table(("case", "fault", "tests"), ((n, title, shown[n]) for n, title in faults.items()))
        for group, faults in groups.items()
    )
    return renewed(text, {"guarantees": promised, "faults": "\n\n".join(cases)})


def _table(columns: tuple[str, str, str], rows: Iterable[tuple[str, str, list[str]]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {number} | {title} | {'<br>'.join(tests)} |" for number, title, tests in rows)])
