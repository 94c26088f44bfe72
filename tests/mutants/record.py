"""The record of what tests notice, `docs/bench/mutants.json`, by function, with a table of the modules.

A function's entry holds as long as its code does, so each run tries only what changed since.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEAD = """\
# Bugs that tests notice

`make mutants` makes one small change in the code at a time, and runs the tests that execute it. This is the last
result of each function whose code is as it was then. An *equivalent* change has no effect that a test could see;
each is listed with its reason in `tests/mutants/modules.toml`.

| module | changes | noticed | not noticed | not tried | equivalent |
|---|---:|---:|---:|---:|---:|
"""


@dataclass(frozen=True)
class Known:
    """A bug, as far as the record knows it.

    Attributes
    ----------
    file
        Relative to the repository.
    function
        The function or the place of the bug.
    change
        What is changed there.
    code
        A hash that changes with the function.
    """

    file: str
    function: str
    change: str
    code: str

    @property
    def name(self) -> str:
        """The address."""
        return f"{self.file} {self.function}: {self.change}"


class Record:
    """The results of this run and of earlier runs.

    Parameters
    ----------
    path
        The file, which need not exist.
    bugs
        Every bug that there is.
    forget
        Ignore earlier results.
    """

    def __init__(self, path: Path, bugs: Iterable[Known], forget: bool = False) -> None:
        self._path = path
        self._places: dict[tuple[str, str], list[Known]] = defaultdict(list)
        for bug in bugs:
            self._places[bug.file, bug.function].append(bug)
        self._survived: dict[Known, bool] = {}
        stored = {} if forget or not path.exists() else json.loads(path.read_text(encoding="utf-8"))
        for (file, function), places in self._places.items():
            entry = stored.get(_place(file, function))
            if entry and _is_of(entry, places):
                self._survived |= {bug: bug.change in entry["unnoticed"] for bug in places}

    def result(self, bug: Known) -> bool | None:
        """Whether no test noticed a bug; None if it was not tried."""
        return self._survived.get(bug)

    def add(self, bug: Known, survived: bool) -> None:
        """Store a result. The file gets it as soon as all bugs of its function have one."""
        self._survived[bug] = survived
        if all(other in self._survived for other in self._places[bug.file, bug.function]):
            self.write()

    def write(self) -> None:
        """Write the entries of all functions whose bugs have results."""
        entries: dict[str, Any] = {}
        for (file, function), bugs in self._places.items():
            if all(bug in self._survived for bug in bugs):
                unnoticed = [bug.change for bug in bugs if self._survived[bug]]
                noticed = len(bugs) - len(unnoticed)
                entries[_place(file, function)] = {"code": _code(bugs), "noticed": noticed, "unnoticed": unnoticed}
        lines = (f"{json.dumps(place)}: {json.dumps(entry)}" for place, entry in sorted(entries.items()))
        self._path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    def table(self, equivalent: Counter[str]) -> str:
        """Return a page with one row for each module.

        Parameters
        ----------
        equivalent
            File -> number of its bugs that make no difference.
        """
        counts: dict[str, Counter[bool | None]] = defaultdict(Counter)
        for bug in (bug for bugs in self._places.values() for bug in bugs):
            counts[bug.file][self.result(bug)] += 1
        whole = sum(counts.values(), Counter[bool | None]())
        rows = [(f"`{file}`", counts[file], equivalent[file]) for file in sorted(counts)]
        rows.append(("**all**", whole, equivalent.total()))
        share = whole[False] / max(1, whole[False] + whole[True])
        return (
            HEAD
            + "".join(
                f"| {name} | {count.total()} | {count[False]} | {count[True]} | {count[None]} | {same} |\n"
                for name, count, same in rows
            )
            + f"\nOf the changes that were tried, tests notice {share:.1%}.\n"
        )


def _place(file: str, function: str) -> str:
    return f"{file} {function}".rstrip()


def _code(bugs: Iterable[Known]) -> str:
    """The code of all functions of that name."""
    return "+".join(sorted({bug.code for bug in bugs}))


def _is_of(entry: dict[str, Any], bugs: list[Known]) -> bool:
    """Whether an entry is the result of just these bugs: one that was listed as equivalent since may be missing."""
    unnoticed = sum(bug.change in entry["unnoticed"] for bug in bugs)
    return entry["code"] == _code(bugs) and entry["noticed"] + unnoticed == len(bugs)
