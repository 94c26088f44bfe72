"""Faults at the ports, as in remote calls: before the call takes effect, after it, and as delays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from tests.harness.processes import Process

T = TypeVar("T")


class Fault(StrEnum):
    """The ways in which a call at a port fails."""

    FAIL_BEFORE = "fail before"
    EXECUTE_THEN_FAIL = "execute, then fail"
    SLOW = "slow"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    QUIT = "end early as a success"


class Crash(BaseException):
    """The process has crashed. Not an Exception, so that no handler catches it."""


class Quit(BaseException):
    """The process ends with a false success, such as a job whose script returns too early."""


@dataclass
class Clock:
    """A clock that moves only when the test advances it."""

    now: datetime = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> datetime:
        self.now += timedelta(**delta)
        return self.now


@dataclass
class Faults:
    """The planned faults, and a count of the calls at every port.

    Keys are ``"port.operation"``, such as ``"ledger.put"``; ``"*"`` means the next call at any port. A call inside a
    `Process` waits until the test resumes it, and fails as the test then requests.
    """

    clock: Clock
    planned: dict[str, list[Fault | None]] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    slowness: timedelta = timedelta(seconds=90)

    def plan(self, where: str, *faults: Fault | None) -> None:
        """Plan the faults of the next calls at a port, in order; None for a call without a fault."""
        self.planned.setdefault(where, []).extend(faults)

    def call(self, where: str, error: type[Exception], action: Callable[[], T]) -> T:
        """Make a call at a port, with its planned fault."""
        self.calls.append(where)
        fault = self._fault(where)
        if where.partition(".")[0] in self.down:
            fault = Fault.FAIL_BEFORE
        if fault is Fault.CRASH_BEFORE:
            raise Crash(where)
        if fault is Fault.QUIT:
            raise Quit(where)
        if fault is Fault.FAIL_BEFORE:
            raise error(f"{where}: injected fault, the call had no effect")
        if fault is Fault.SLOW:
            self.clock.now += self.slowness
        result = action()
        if fault is Fault.CRASH_AFTER:
            raise Crash(where)
        if fault is Fault.EXECUTE_THEN_FAIL:
            raise error(f"{where}: injected fault, the call took effect")
        return result

    def count(self, where: str) -> int:
        return self.calls.count(where)

    def _fault(self, where: str) -> Fault | None:
        process = Process.current()
        if process is not None:
            told: Fault | None = process.wait_at(where)
            if told is not None:
                return told
        return next((self.planned[key].pop(0) for key in (where, "*") if self.planned.get(key)), None)
