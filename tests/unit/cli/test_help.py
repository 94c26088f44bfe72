"""Help as a file or another program gets it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.forks import Forks

ROOT = Path(__file__).parents[3]
FANOUT = "import runpy; runpy.run_module('cli', run_name='__main__')"


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """Processes that have imported the command line, and have not yet asked where they write to."""
    with Forks(["cli.main"], ROOT) as made:
        yield made


def fanout(forks: Forks, *words: str) -> subprocess.CompletedProcess[str]:
    return forks.run(FANOUT, words)


@pytest.mark.parametrize("words", [["--help"], ["providers", "--help"], ["providers", "add", "--help"], ["no-such"]])
def test_what_no_terminal_shows_has_neither_boxes_nor_colours(forks: Forks, words: list[str]) -> None:
    done = fanout(forks, *words)

    said = done.stdout + done.stderr
    assert done.returncode == (2 if words == ["no-such"] else 0)
    assert "Usage: " in said
    assert not set("╭│╰─") & set(said)
    assert "\x1b" not in said


def test_no_command_s_summary_is_cut(forks: Forks) -> None:
    commands = fanout(forks, "--help").stdout.partition("Commands:")[2]

    assert "providers" in commands
    assert "..." not in commands
