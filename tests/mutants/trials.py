"""Runs tests against files that are replaced in memory, one mutant per process.

This process imports expensive modules once. A fork runs the tests without a bug, and reports which lines each test
executes. Another collects the tests, and tries each mutant of a function in a fork of its own (`stage.py`). Mutants of
code that an import executes are tried in forks that read the mutated text instead of the file. No file is written, and
no copy of the repository is made.
"""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import Pipe, connection
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.record import Known
from tests.mutants.stage import Observer, Patch, Seen, Stage, changed_function

ROOT = Path(__file__).parents[2]
EXPENSIVE = (
    "aws_lambda_powertools",
    "boto3",
    "hypothesis",
    "moto",
    "pyarrow",
    "pydantic",
    "requests",
    "samtranslator.yaml_helper",
)
"""Packages that tests import. None is of this project, because a child cannot mutate a module that is imported here."""
OURS = ("cli", "contract", "fanout", "fanout_job", "laptop_cloud", "registry", "tools")
NOTICED = (
    pytest.ExitCode.TESTS_FAILED,
    pytest.ExitCode.INTERRUPTED,
    pytest.ExitCode.INTERNAL_ERROR,
    pytest.ExitCode.USAGE_ERROR,
)
"""A mutant that makes an import fail interrupts the collection, or pytest does not find the ids of the tests."""
BROKEN = 70
"""The exit status of a trial that could not start pytest."""
HISTORIES = "300"


class TrialError(Exception):
    """The tests fail without any mutation, or cannot be run."""


@dataclass(frozen=True)
class Trial:
    """A mutated file and the tests that should notice it.

    Attributes
    ----------
    bug
        The mutation and its file.
    plain
        Returns the file's content without the bug, in the same form.
    text
        Returns the file's content with the bug.
    tests
        Arguments of pytest: files, folders or test ids, and options. One failing test is enough.
    lines
        The lines of a Python file that differ. Only tests that execute one of them are run. None: all tests are run.
    """

    bug: Known
    plain: Callable[[], str]
    text: Callable[[], str]
    tests: tuple[str, ...]
    lines: range | None = None


def survivors(trials: Iterable[Trial], jobs: int, until: float = float("inf")) -> Iterator[tuple[Trial, bool]]:
    """Try mutants until a time of `time.monotonic`; yield each with whether all of its tests passed.

    Raises
    ------
    TrialError
        Tests fail without any mutation.
    """
    _prepare()
    groups: dict[tuple[tuple[str, ...], bool], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.tests, trial.lines is None), []).append(trial)
    for (tests, is_whole), group in groups.items():
        if time.monotonic() >= until:
            return
        if is_whole:
            yield from _whole([(trial, trial.tests) for trial in group], jobs, until)
        else:
            yield from _by_lines(group, tests, jobs, until)


def _prepare() -> None:
    for name in EXPENSIVE:
        importlib.import_module(name)
    mine = [name for name in OURS if name in sys.modules]
    if mine:
        raise TrialError(f"{', '.join(mine)} must not be imported before the mutants are tried")


def _by_lines(group: list[Trial], tests: Sequence[str], jobs: int, until: float) -> Iterator[tuple[Trial, bool]]:
    """Try mutants of Python modules that have tests in common."""
    seen = _observed(tests, {str(ROOT / trial.bug.file) for trial in group})
    patches, whole = [], []
    for number, trial in enumerate(group):
        path = ROOT / trial.bug.file
        code = changed_function(path, _normalized(trial.plain()), trial.text())
        if code is None or seen.at_import[str(path)] & set(_function_lines(path, trial.lines or range(0))):
            lines = seen.lines.get(str(path), {})
            whole.append((trial, tuple(seen.tests[test] for test in seen.tests_of(str(path), lines))))
        else:
            chosen = seen.tests_of(str(path), trial.lines or ())
            tests_of = {seen.tests[test]: seen.seconds[test] for test in chosen}
            patches.append(Patch(number, str(path), code.co_qualname, code, tests_of))
    if patches:
        for number, survived in _staged(tests, patches, seen.modules, jobs, until):
            if survived is None:
                told = "not tried: a test that noticed this or a bug beside it fails without a bug, run alone"
                print(f"{told}  {group[number].bug.name}", file=sys.stderr)
            else:
                yield group[number], survived
    # A class of exceptions, for example, is used by tests that execute no line of its module.
    left = [trial for trial, chosen in whole if not chosen]
    for trial, survived in _whole([(trial, chosen) for trial, chosen in whole if chosen], jobs, until):
        if survived:
            left.append(trial)
        else:
            yield trial, False
    yield from _whole([(trial, tuple(tests)) for trial in left], jobs, until)


def _function_lines(path: Path, lines: range) -> range:
    """Return the lines of the body of the outermost function that contains some lines, or an empty range."""
    return next((body for body in _bodies(path) if lines and lines.start in body), range(0))


@lru_cache(maxsize=1)
def _bodies(path: Path) -> list[range]:
    """Return the lines of the body of each function, an outer one before its inner ones."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [range(node.body[0].lineno, (node.end_lineno or 0) + 1) for node in functions]


@lru_cache(maxsize=1)
def _normalized(text: str) -> str:
    """A module's source in the form of the mutants."""
    return ast.unparse(ast.parse(text))


def _observed(tests: Sequence[str], files: set[str]) -> Seen:
    """Run tests in a fork."""

    def work(tell: connection.Connection) -> None:
        observer = Observer(files)
        code = _run(tests, observer)
        tell.send((code, observer.seen))

    code, seen = next(_sent_by(work), (-1, Seen()))
    if code:
        raise TrialError(f"pytest ends with {code} without a bug: {' '.join(tests)}")
    return seen


def _staged(
    tests: Sequence[str], patches: list[Patch], modules: list[str], jobs: int, until: float
) -> Iterator[tuple[int, bool | None]]:
    """Try patches in a fork with one session of pytest. This process must not import the modules."""

    def work(tell: connection.Connection) -> None:
        _run(tests, Stage(patches, modules, jobs, until, lambda key, survived: tell.send((key, survived))))

    return _sent_by(work)


def _sent_by(work: Callable[[connection.Connection], None]) -> Iterator[Any]:
    """Work in a fork, and yield what it sends."""
    told, tell = Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        try:
            work(tell)
        finally:
            os._exit(0)
    tell.close()
    try:
        with suppress(EOFError):
            while True:
                yield told.recv()
    finally:
        os.kill(child, signal.SIGKILL)  # it has ended, unless the caller wants no more
        os.waitpid(child, 0)


def _whole(trials: Sequence[tuple[Trial, tuple[str, ...]]], jobs: int, until: float) -> Iterator[tuple[Trial, bool]]:
    """Try mutated files, each in a new session of pytest with its tests."""
    limits: dict[tuple[str, tuple[str, ...]], int] = {}
    running: dict[int, Trial] = {}
    for trial, tests in trials:
        if time.monotonic() >= until:
            break
        if (trial.bug.file, tests) not in limits:
            while running:
                yield _finished(running)
            limits[trial.bug.file, tests] = _limit(trial, tests)
        running[_start(trial, tests, limits[trial.bug.file, tests])] = trial
        if len(running) >= jobs:
            yield _finished(running)
    while running:
        yield _finished(running)


def _limit(trial: Trial, tests: Sequence[str]) -> int:
    """Seconds of CPU after which a mutant hangs: a multiple of the time of the tests without a bug."""
    _, status, usage = os.wait4(_start(replace(trial, text=trial.plain), tests, 3600), 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise TrialError(f"{trial.bug.file}: these tests fail without a bug: {' '.join(tests)}")
    return 10 + 10 * int(usage.ru_utime + usage.ru_stime)


def _start(trial: Trial, tests: Sequence[str], seconds: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
            signal.alarm(60 * seconds)  # for a mutant that waits instead of computing
            _put(ROOT / trial.bug.file, trial.text())
            os._exit(_run(tests, with_spark=trial.lines is None))
        finally:
            os._exit(BROKEN)
    return child


def _finished(running: dict[int, Trial]) -> tuple[Trial, bool]:
    child, status = os.wait()
    trial, code = running.pop(child), os.waitstatus_to_exitcode(status)
    if code not in (0, *NOTICED) and code > 0:
        raise TrialError(f"{trial.bug.name}: pytest ended with {code}")
    return trial, code == 0


def _put(path: Path, text: str) -> None:
    """Let this process read a text instead of a file's content."""
    compiled, read, read_raw = importlib.machinery.SourceFileLoader.get_code, Path.read_text, Path.read_bytes

    def get_code(self: Any, name: str) -> Any:
        return compile(text, self.path, "exec") if Path(self.path) == path else compiled(self, name)

    def read_text(self: Path, *given: Any, **options: Any) -> str:
        return text if self.absolute() == path else read(self, *given, **options)

    def read_bytes(self: Path) -> bytes:
        return text.encode() if self.absolute() == path else read_raw(self)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
    Path.read_text, Path.read_bytes = read_text, read_bytes  # type: ignore[method-assign]


def _run(tests: Sequence[str], *plugins: Any, with_spark: bool = False) -> int:
    """Run tests in this fork. Its Spark must be its own, so only a fork that tries one mutant may have one."""
    os.chdir(ROOT)
    os.environ["HISTORIES"] = HISTORIES
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    options = [
        "-q",
        "-x",
        "-s",
        "-p",
        "no:cacheprovider",
        "-n0",
        "--hypothesis-profile=mutants",
        "-m",
        "not benchmark and not network and not judge and not slow" + ("" if with_spark else " and not spark"),
        *tests,
    ]
    return int(pytest.main(options, plugins=list(plugins)))
