"""`make shuffle` runs tests in random orders and names an order that failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def shuffled(tests: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as make does."""
    command = [sys.executable, "-m", "tests.shuffle", *arguments, f"tests/tools/shuffled/{tests}.py"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_tests_that_depend_on_their_order_fail_and_the_order_is_named() -> None:
    done = shuffled("in_order_only", "--rounds", "2", "--first", "2")

    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "2 rounds, 2 failed: orders 2, 3"


@pytest.mark.slow
def test_tests_that_pass_in_any_order_pass() -> None:
    done = shuffled("in_any_order", "--rounds", "1")

    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "1 round, 0 failed"
