"""Processes that tests start. Each leads a process group of its own, which ends with the test run, however that ends.

Ctrl-C in the terminal reaches the test run alone, whose fixtures then end their processes in order. Whatever is left
when the test run is gone, killed with SIGKILL for example, is killed by a process that watches a pipe from it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.harness.waiting import HANG_SECONDS

REAPER = Path(__file__).with_name("reaper.py")


class Child(subprocess.Popen[Any]):
    """A process, as `subprocess.Popen`, that does not outlive this one. To kill it is to kill its process group.

    Parameters
    ----------
    command
        The program and its arguments.
    options
        As for `subprocess.Popen`.
    """

    def __init__(self, command: Sequence[str | os.PathLike[str]], **options: Any) -> None:
        told = _told(os.getpid())
        super().__init__(command, start_new_session=True, **options)
        self._told = told
        print(self.pid, file=told, flush=True)

    def __exit__(self, *error: Any) -> None:
        if error[0] is not None:
            self.kill()
        super().__exit__(*error)

    def kill(self) -> None:
        """Send SIGKILL to the process and to all of its group; safe to call twice."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = HANG_SECONDS) -> int:
        """Wait for the end; the limit only ends a hang."""
        status = super().wait(timeout)
        self._forget()
        return status

    def _forget(self) -> None:
        """Its id may be given to another process, now that its end has been seen."""
        told, self._told = self._told, None
        if told is not None:
            print(-self.pid, file=told, flush=True)


def run(
    command: Sequence[str | os.PathLike[str]], *, seconds: float | None = HANG_SECONDS, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Run a process to its end, as `subprocess.run` with `capture_output` and `text`; it must not outlive this one.

    Parameters
    ----------
    command
        The program and its arguments.
    seconds
        After which it is killed, and `subprocess.TimeoutExpired` raised; None for never.
    options
        `check` and `input` as for `subprocess.run`, everything else as for `subprocess.Popen`.
    """
    check, given = options.pop("check", False), options.pop("input", None)
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    if given is not None:
        streams["stdin"] = subprocess.PIPE
    with Child(command, **{**streams, **options}) as child:
        said, errors = child.communicate(given, timeout=seconds)
    done = subprocess.CompletedProcess(command, child.returncode, said, errors)
    if check:
        done.check_returncode()
    return done


@cache
def _told(pid: int) -> Any:
    """The pipe to the reaper of this process; `pid` is its id, so that a fork gets one of its own."""
    del pid
    reaper = subprocess.Popen(  # it ends by itself, so nothing waits for it
        [sys.executable, "-I", "-S", REAPER], stdin=subprocess.PIPE, start_new_session=True, text=True
    )
    reaper.returncode = 0  # or its destructor would warn
    return reaper.stdin


def alive(pids: set[int]) -> set[int]:
    """Those of the processes that run; one that has ended and whose end nobody has asked for does not."""
    return {pid for pid in pids if _stat(pid)[0] != "Z"}


def descendants(pid: int) -> set[int]:
    """Every running process below a process."""
    stats = {int(folder.name): _stat(int(folder.name)) for folder in Path("/proc").glob("[0-9]*")}
    found = {pid}
    while more := {one for one, (state, parent) in stats.items() if state != "Z" and parent in found} - found:
        found |= more
    return found - {pid}


def _stat(pid: int) -> tuple[str, int]:
    """The state and the parent of a process; Z and 0 for one that is not there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return "Z", 0
    return fields[0], int(fields[1])
