"""Two plugins of pytest: one observes which lines each test executes, one tries mutants in a session that is collected.

To collect tests costs more than to run most of them. So one session collects once for all mutants of several modules.
A fork for each mutant replaces the code of one function, and runs the tests that execute the mutated lines: first those
that noticed most other mutants of the function, then the quickest. A mutant outside of functions (a constant, a
default) needs a new import instead: see `trials.py`.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import _lru_cache_wrapper, lru_cache
from itertools import groupby
from multiprocessing import Array
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

FUNCTION = 0x2
"""The flag of code objects with names of their own (CO_NEWLOCALS), which the body of a class does not have."""
MONITOR = 4
"""An identifier of `sys.monitoring` that is not reserved for a kind of tool."""
PATIENCE = 30.0
"""Seconds that the tests of one mutant take together at most, without the mutant."""


@dataclass
class Seen:
    """The lines that a run of tests without any mutant executed.

    Attributes
    ----------
    lines
        File -> line -> the numbers of the tests that execute it.
    tests
        The ids of the tests.
    seconds
        How long each test took.
    modules
        The modules that the tests imported.
    at_import
        File -> the lines that were executed before the first test.
    """

    lines: dict[str, dict[int, list[int]]] = field(default_factory=dict)
    tests: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    at_import: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def tests_of(self, file: str, lines: Collection[int]) -> list[int]:
        """The tests that execute one of some lines, the quickest first, and no more than there is patience for."""
        found = {test for line in lines for test in self.lines.get(file, {}).get(line, ())}
        chosen: list[int] = []
        left = PATIENCE
        for test in sorted(found, key=lambda test: (self.seconds[test], test)):
            left -= self.seconds[test]
            if left < 0 and chosen:
                break
            chosen.append(test)
        return chosen


class Observer:
    """A pytest plugin that records which lines of some files each test executes.

    Parameters
    ----------
    files
        The paths of the files.
    """

    def __init__(self, files: Collection[str]) -> None:
        self._files = frozenset(files)
        self._executed = set[tuple[str, int]]()
        self.seen = Seen()
        monitoring = sys.monitoring

        def line(code: CodeType, number: int) -> Any:
            if code.co_filename in self._files:
                self._executed.add((code.co_filename, number))
            return monitoring.DISABLE  # until `restart_events`

        monitoring.use_tool_id(MONITOR, "mutants")
        monitoring.register_callback(MONITOR, monitoring.events.LINE, line)
        monitoring.set_events(MONITOR, monitoring.events.LINE)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run all tests."""
        seen, caches = self.seen, _caches(self._files)
        for file, at in self._taken():
            seen.at_import[file].add(at)
        begin = time.monotonic()
        for number, item in enumerate(_run(session, session.items, lambda item: _clear(caches))):
            seen.tests.append(item.nodeid)
            seen.seconds.append(time.monotonic() - begin)
            for file, at in self._taken():
                seen.lines.setdefault(file, {}).setdefault(at, []).append(number)
            begin = time.monotonic()
        sys.monitoring.free_tool_id(MONITOR)
        seen.modules = list(sys.modules)
        return True

    def _taken(self) -> list[tuple[str, int]]:
        """Return the lines that were executed since the last call."""
        found = list(self._executed)
        self._executed.clear()
        sys.monitoring.restart_events()
        return found


@dataclass(frozen=True)
class Patch:
    """The code of one function of a module, with a bug.

    Attributes
    ----------
    key
        Identifies the mutant.
    file
        The module's path.
    function
        The qualified name of the outermost function that contains the bug.
    code
        Its code with the bug.
    tests
        The id of each test to run -> how many seconds it takes without the bug.
    """

    key: int
    file: str
    function: str
    code: CodeType
    tests: Mapping[str, float]


def changed_function(path: Path, plain: str, mutated: str) -> CodeType | None:
    """Return the new code of the one function that differs, or None if other code differs.

    Parameters
    ----------
    path
        The module's file.
    plain
        The module's source, as `ast.unparse` writes it.
    mutated
        The same with the bug.
    """
    names, meanings, outside = _compiled(path, plain)
    after = compile(mutated, path, "exec")
    changed = [code for code, known in zip(_functions(after), meanings, strict=True) if _meaning(code) != known]
    if outside != _outside(after) or len(changed) != 1 or names[changed[0].co_qualname] > 1:
        return None
    return changed[0]


@lru_cache(maxsize=1)
def _compiled(path: Path, plain: str) -> tuple[Counter[str], list[Any], Any]:
    """How many functions have each name, what each does, and what the module does apart from them."""
    module = compile(plain, path, "exec")
    functions = list(_functions(module))
    return Counter(code.co_qualname for code in functions), [_meaning(code) for code in functions], _outside(module)


def _functions(owner: CodeType) -> Iterator[CodeType]:
    """Every function of a module that is not inside another function."""
    for code in owner.co_consts:
        if isinstance(code, CodeType):
            if _is_function(code):
                yield code
            else:
                yield from _functions(code)


def _is_function(code: CodeType) -> bool:
    """Whether this is a `def`, and not the body of a class, a lambda, a generator or the like."""
    return bool(code.co_flags & FUNCTION) and not code.co_name.startswith("<")


def _meaning(code: CodeType) -> Any:
    """Return the behavior of a code object, without line numbers."""
    constants = [_meaning(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, constants


def _outside(code: CodeType) -> Any:
    """Return the behavior of a module apart from its functions."""
    constants = [
        ((None if _is_function(value) else _outside(value)) if isinstance(value, CodeType) else repr(value))
        for value in code.co_consts
    ]
    return code.co_code, code.co_names, constants


class Stage:
    """A pytest plugin that tries mutants instead of running the tests.

    Parameters
    ----------
    patches
        The mutants.
    modules
        What to import first, so that not each fork must do it.
    jobs
        Number of forks at a time.
    until
        Stop at this time of `time.monotonic`.
    report
        Called with a patch's key and whether the mutant survived, or None if its tests fail without it.
    """

    def __init__(
        self,
        patches: Sequence[Patch],
        modules: Sequence[str],
        jobs: int,
        until: float,
        report: Callable[[int, bool | None], None],
    ) -> None:
        self._patches = patches
        self._modules = modules
        self._jobs = jobs
        self._until = until
        self._report = report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try each mutant in a fork."""
        for name in self._modules:
            with suppress(Exception):
                importlib.import_module(name)
        places: dict[tuple[str, str], list[FunctionType]] = defaultdict(list)
        for found in gc.get_objects():
            if isinstance(found, FunctionType):
                places[found.__code__.co_filename, found.__code__.co_qualname].append(found)
        _clear(_caches({patch.file for patch in self._patches}))
        items = {item.nodeid: item for item in session.items}
        for (file, function), group in groupby(self._patches, lambda patch: (patch.file, patch.function)):
            if time.monotonic() >= self._until:
                break
            patches = list(group)
            survived, noticed_by = self._tried(session, items, patches, places[file, function])
            control = os.waitpid(_fork(session, {items[test]: PATIENCE for test in noticed_by}), 0)
            for patch in patches:
                self._report(patch.key, None if control[1] else survived[patch.key])
        return True

    def _tried(
        self,
        session: pytest.Session,
        items: Mapping[str, pytest.Item],
        patches: Sequence[Patch],
        places: Sequence[FunctionType],
    ) -> tuple[dict[int, bool], Counter[str]]:
        """Try the mutants of one function; return which survived, and how many were noticed by each test."""
        survived: dict[int, bool] = {}
        noticed_by = Counter[str]()
        failed = Array("i", len(patches), lock=False)
        running: dict[int, tuple[int, list[str]]] = {}

        def finish() -> None:
            child, status = os.wait()
            number, tests = running.pop(child)
            if os.waitstatus_to_exitcode(status) == 1:
                noticed_by[tests[failed[number]]] += 1
            survived[patches[number].key] = status == 0

        for number, patch in enumerate(patches):
            tests = sorted(patch.tests, key=lambda test: -noticed_by[test])

            def note(failing: int, number: int = number) -> None:
                failed[number] = failing

            chosen = {items[test]: patch.tests[test] for test in tests}
            child = _fork(session, chosen, places, patch.code, note)
            running[child] = number, tests
            if len(running) >= self._jobs:
                finish()
        while running:
            finish()
        return survived, noticed_by


def _fork(
    session: pytest.Session,
    tests: Mapping[pytest.Item, float],
    places: Sequence[FunctionType] = (),
    code: CodeType | None = None,
    note: Callable[[int], None] = lambda failing: None,
) -> int:
    """Run tests in a fork in which functions have other code, until one fails; the exit status is 0 if all pass."""
    child = os.fork()
    if child:
        return child
    try:
        for place in places:
            place.__code__ = code or place.__code__
        for number, _ in enumerate(_run(session, list(tests), lambda item: _limit(tests[item]))):
            if session.testsfailed:
                note(number)
                os._exit(1)
        os._exit(0)
    finally:
        os._exit(2)


def _caches(files: Collection[str]) -> list[_lru_cache_wrapper[Any]]:
    """The functions of some files that keep their results."""
    found = [one for one in gc.get_objects() if isinstance(one, _lru_cache_wrapper)]
    return [one for one in found if getattr(one.__wrapped__, "__code__", _limit.__code__).co_filename in files]


def _clear(caches: Iterable[_lru_cache_wrapper[Any]]) -> None:
    """Let functions compute their results again, so that a test does not get those of other tests or of an import."""
    for cache in caches:
        cache.cache_clear()


def _limit(seconds: float) -> None:
    """End this process if a test takes much longer than the time that it takes without a bug."""
    signal.setitimer(signal.ITIMER_PROF, 3 + 3 * seconds)
    signal.alarm(20 + 10 * int(seconds))  # for a mutant that waits instead of computing


def _run(
    session: pytest.Session, tests: Sequence[pytest.Item], before: Callable[[pytest.Item], None] = lambda item: None
) -> Iterator[pytest.Item]:
    """Run tests; yield each after it."""
    for item, following in zip(tests, [*tests[1:], None], strict=False):
        before(item)
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        yield item
