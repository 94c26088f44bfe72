"""A command next to busy loops."""

from __future__ import annotations

import sys

from tests.harness.children import run

CHILDREN = """
import os, pathlib
stats = [(path / "stat").read_text() for path in pathlib.Path("/proc").iterdir() if path.name.isdigit()]
parents = [stat.rpartition(")")[2].split()[1] for stat in stats]
print(parents.count(str(os.getppid())) - 1)
"""
"""A script that prints the number of other children of its parent."""


def busy(*arguments: str) -> tuple[int, str]:
    done = run([sys.executable, "-m", "tests.busy", *arguments])
    return done.returncode, done.stdout


def test_the_command_runs_next_to_the_given_number_of_loops() -> None:
    status, said = busy("--loops", "3", sys.executable, "-c", CHILDREN)

    assert (status, said.strip()) == (0, "3")


def test_the_exit_status_is_the_commands() -> None:
    assert busy("--loops", "1", sys.executable, "-c", "raise SystemExit(7)")[0] == 7


def test_without_a_command_it_exits_with_an_example() -> None:
    done = run([sys.executable, "-m", "tests.busy"])

    assert done.returncode == 2
    assert "give a command, such as: make check" in done.stderr
