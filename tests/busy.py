"""Runs a command next to busy loops, as on a machine under load.

    python -m tests.busy [--loops N] COMMAND …

A test that passes alone and fails here depends on timing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LOOPS = 4


def _busy() -> None:
    """Keep a core busy until the parent process ends."""
    parent = os.getppid()
    while os.getppid() == parent:
        pass


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep this many cores busy while the block runs."""
    processes = multiprocessing.get_context("fork")  # they end when this process, their parent, ends
    loops = [processes.Process(target=_busy, daemon=True) for _ in range(count)]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.join()


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loops", type=int, default=LOOPS, help="busy loops (default: %(default)s)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command and its arguments")
    options = parser.parse_args()
    if not options.command:
        parser.error("give a command, such as: make check")
    with busy_loops(options.loops):
        return subprocess.run(options.command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
