"""Ends the processes of a test run after the test run has ended; its stdin is a pipe from the test run.

A line with a process id names the leader of a new process group; an id with a minus sign names one that has ended.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Read until the other end of the pipe is closed, which even SIGKILL causes, and kill the remaining groups."""
    left: set[int] = set()
    for line in sys.stdin:
        number = int(line)
        if number > 0:
            left.add(number)
        else:
            left.discard(-number)
    for leader in left:
        try:
            os.killpg(leader, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


if __name__ == "__main__":
    main()
