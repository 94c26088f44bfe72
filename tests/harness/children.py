"""Processes that tests start. Each leads its own process group, which always ends with the test run.

Ctrl-C in the terminal reaches only the test run, whose fixtures then end their processes in order. If the test run is
killed, for example with SIGKILL, a process that watches a pipe from it kills the remaining ones.
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
    """A `subprocess.Popen` that does not outlive this process. `kill` kills its whole process group.

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
        """Wait for the end; the time limit only ends a hang."""
        status = super().wait(timeout)
        self._forget()
        return status

    def _forget(self) -> None:
        """Forget its id, which another process may get from now on."""
        told, self._told = self._told, None
        if told is not None:
            print(-self.pid, file=told, flush=True)


def run(
    command: Sequence[str | os.PathLike[str]], *, seconds: float | None = HANG_SECONDS, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Run a process to its end, as `subprocess.run` with `capture_output` and `text`. It does not outlive this process.

    Parameters
    ----------
    command
        The program and its arguments.
    seconds
        Time limit, after which it is killed and `subprocess.TimeoutExpired` is raised; None for no limit.
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
    """Start the reaper of this process and return the pipe to it; `pid` is its id, so that a fork gets its own."""
    del pid
    reaper = subprocess.Popen(  # not waited for, because it ends by itself
        [sys.executable, "-I", "-S", REAPER], stdin=subprocess.PIPE, start_new_session=True, text=True
    )
    reaper.returncode = 0  # avoids a warning by its destructor
    return reaper.stdin


def alive(pids: set[int]) -> set[int]:
    """Return the processes that run; a zombie does not count."""
    return {pid for pid in pids if _stat(pid)[0] != "Z"}


def descendants(pid: int) -> set[int]:
    """Return all running descendants of a process."""
    stats = {int(folder.name): _stat(int(folder.name)) for folder in Path("/proc").glob("[0-9]*")}
    found = {pid}
    while more := {one for one, (state, parent) in stats.items() if state != "Z" and parent in found} - found:
        found |= more
    return found - {pid}


def _stat(pid: int) -> tuple[str, int]:
    """Return state and parent of a process; Z and 0 if it does not exist."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return "Z", 0
    return fields[0], int(fields[1])
