"""Help in a file or a pipe."""

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
    """Processes that have imported the command line, but have not yet checked whether they have a terminal."""
    with Forks(["cli.main"], ROOT) as made:
        yield made


def fanout(forks: Forks, *words: str) -> subprocess.CompletedProcess[str]:
    return forks.run(FANOUT, words)


@pytest.mark.parametrize("words", [["--help"], ["providers", "--help"], ["providers", "add", "--help"], ["no-such"]])
def test_without_a_terminal_help_has_no_boxes_and_no_colors(forks: Forks, words: list[str]) -> None:
    done = fanout(forks, *words)

    said = done.stdout + done.stderr
    assert done.returncode == (2 if words == ["no-such"] else 0)
    assert "Usage: " in said
    assert not set("╭│╰─") & set(said)
    assert "\x1b" not in said


def test_no_command_s_summary_is_truncated(forks: Forks) -> None:
    commands = fanout(forks, "--help").stdout.partition("Commands:")[2]

    assert "providers" in commands
    assert "..." not in commands
