"""Help as a file or another program gets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def fanout(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["--help"], ["providers", "--help"], ["providers", "add", "--help"], ["no-such"]])
def test_what_no_terminal_shows_has_neither_boxes_nor_colours(words: list[str]) -> None:
    done = fanout(*words)

    said = done.stdout + done.stderr
    assert "Usage: " in said
    assert not set("╭│╰─") & set(said)
    assert "\x1b" not in said


def test_no_command_s_summary_is_cut() -> None:
    assert "..." not in fanout("--help").stdout.partition("Commands:")[2]
