"""Kills processes of the laptop cloud at chosen API calls: before the call is executed, or after it was executed and
before the response is sent.

The TCP connection of a call identifies the process that made it.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

KINDS = {
    "DispatchFunctionRole": 8,
    "ClaimFunctionRole": 14,
    "LambdaRunFunctionRole": 16,
    "ChangeLogJobRole": 10,
    "UpdateStatusFunctionRole": 12,
}
"""Role of the process -> maximum number of its calls before the next kill."""


@dataclass(frozen=True)
class Kill:
    """One planned kill: before or after the `calls`-th call of `principal` since its last kill."""

    principal: str
    calls: int
    when: str


def plan(seed: int, kills: int) -> list[Kill]:
    """Plan at least two kills of each kind; everything else is random."""
    chance = random.Random(seed)
    principals = [*list(KINDS) * 2, *chance.choices(list(KINDS), k=kills)][:kills]
    return [Kill(p, chance.randint(1, KINDS[p]), chance.choice(["before", "after"])) for p in principals]


class Killer:
    """Carries out a plan; pass `watch` to the laptop cloud.

    Attributes
    ----------
    processes
        Returns the processes that may be killed; set it when the cloud is up.
    done
        The kills so far: principal, moment and action.
    """

    def __init__(self, planned: list[Kill]) -> None:
        self.processes: Callable[[], list[int]] = list
        self.done: list[str] = []
        self._waiting: dict[str, deque[Kill]] = defaultdict(deque)
        for kill in planned:
            self._waiting[kill.principal].append(kill)
        self._seen: Counter[str] = Counter()
        self._chosen: dict[int, Kill] = {}
        self._lock = threading.Lock()

    @property
    def left(self) -> list[Kill]:
        """The planned kills that have not happened yet."""
        with self._lock:
            return [kill for waiting in self._waiting.values() for kill in waiting]

    def watch(self, when: str, call: dict[str, str | None], port: int) -> None:
        """See `tests.harness.call_log.watching`."""
        with self._lock:
            kill = self._at(when, call)
        if kill is None:
            return
        pid = self._owner(holder(port))
        if pid is None:  # it has ended, or is not a process of the cloud: kill at another call
            with self._lock:
                self._waiting[kill.principal].appendleft(kill)
            return
        os.killpg(pid, signal.SIGKILL)
        with self._lock:
            self.done.append(f"{kill.principal} {when} {call['service']}:{call['action']}")
        raise ConnectionAbortedError

    def _at(self, when: str, call: dict[str, str | None]) -> Kill | None:
        principal = str(call["principal"])
        if when == "before" and self._waiting[principal]:
            self._seen[principal] += 1
            if self._seen[principal] >= self._waiting[principal][0].calls:
                self._seen[principal] = 0
                self._chosen[id(call)] = self._waiting[principal].popleft()
        if id(call) in self._chosen and self._chosen[id(call)].when == when:
            return self._chosen.pop(id(call))
        return None

    def _owner(self, pid: int | None) -> int | None:
        """Find the process of the laptop cloud that is `pid` or an ancestor of it."""
        ours = set(self.processes())
        while pid is not None and pid not in ours:
            pid = parent(pid)
        return pid


def holder(port: int) -> int | None:
    """Find the process with a TCP connection on this local port."""
    wanted = f":{port:04X}"
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    sockets = {f"socket:[{fields[9]}]" for fields in map(str.split, lines) if fields[1].endswith(wanted)}
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(str(entry.readlink()) in sockets for entry in folder.iterdir()):
                return int(folder.parent.name)
        except OSError:  # it has just ended
            continue
    return None


def parent(pid: int) -> int | None:
    """The parent of a process, None when there is none."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])
    return found or None
