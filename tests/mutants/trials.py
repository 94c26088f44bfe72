"""Runs tests against files that are replaced in memory, one mutated file per process.

This process imports expensive modules once, and forks a child for each mutant. The child reads the mutated text instead
of the file, and runs pytest. No file is written, and no copy of the repository is made.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

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
NOTICED = (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
"""A mutant that makes an import fail interrupts the collection."""
HISTORIES = "300"


class TrialError(Exception):
    """The tests fail without any mutation, or cannot be run."""


@dataclass(frozen=True)
class Trial:
    """A mutated file and the tests that should notice it.

    Attributes
    ----------
    name
        The address of the mutation.
    file
        Relative to the repository.
    plain
        Returns the file's content without the bug, in the same form.
    text
        Returns the file's content with the bug.
    tests
        Arguments of pytest: files, folders or test ids, and options. One failing test is enough.
    key
        Changes when the mutated code or the tests change.
    """

    name: str
    file: str
    plain: Callable[[], str]
    text: Callable[[], str]
    tests: tuple[str, ...]
    key: str


def survivors(trials: Iterable[Trial], jobs: int, until: float = float("inf")) -> Iterator[tuple[Trial, bool]]:
    """Try mutants until a time of `time.monotonic`; yield each with whether all of its tests passed.

    Raises
    ------
    TrialError
        Tests fail without any mutation.
    """
    _prepare()
    limits: dict[tuple[str, tuple[str, ...]], int] = {}
    running: dict[int, Trial] = {}
    for trial in trials:
        if time.monotonic() >= until:
            break
        if (trial.file, trial.tests) not in limits:
            while running:
                yield _finished(running)
            limits[trial.file, trial.tests] = _limit(trial)
        running[_start(trial, limits[trial.file, trial.tests])] = trial
        if len(running) >= jobs:
            yield _finished(running)
    while running:
        yield _finished(running)


def _prepare() -> None:
    for name in EXPENSIVE:
        importlib.import_module(name)
    mine = [name for name in OURS if name in sys.modules]
    if mine:
        raise TrialError(f"{', '.join(mine)} must not be imported before the mutants are tried")


def _limit(trial: Trial) -> int:
    """Seconds of CPU after which a mutant hangs: a multiple of the time of the tests without a bug."""
    _, status, usage = os.wait4(_start(replace(trial, text=trial.plain), 3600), 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise TrialError(f"{trial.file}: these tests fail without a bug: {' '.join(trial.tests)}")
    return 10 + 10 * int(usage.ru_utime + usage.ru_stime)


def _start(trial: Trial, seconds: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
            signal.alarm(60 * seconds)  # for a mutant that waits instead of computing
            _put(ROOT / trial.file, trial.text())
            os._exit(_run(trial.tests))
        finally:
            os._exit(pytest.ExitCode.USAGE_ERROR)
    return child


def _finished(running: dict[int, Trial]) -> tuple[Trial, bool]:
    child, status = os.wait()
    trial, code = running.pop(child), os.waitstatus_to_exitcode(status)
    if code not in (0, *NOTICED) and code > 0:
        raise TrialError(f"{trial.name}: pytest ended with {code}")
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


def _run(tests: Sequence[str]) -> int:
    os.chdir(ROOT)
    os.environ["HISTORIES"] = HISTORIES
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    options = [
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-n0",
        "-m",
        "not benchmark and not network and not judge and not slow",
        *tests,
    ]
    return int(pytest.main(options))
