"""Handlers that run a port call at a time, so that a test decides how several of them interleave."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from greenlet import getcurrent, greenlet


class Process(greenlet):
    """A handler that stops at every call at a port until it is told to go on.

    It has a stack of its own and no thread: whoever resumes it goes on when it stands at its next call or has ended.
    So histories are as deterministic as the order in which the test resumes, and no scheduler has a say in them.

    Attributes
    ----------
    at
        The call it stands at, such as ``"ledger.put"``; None once it has ended.
    value, error
        What it returned or raised.
    faulted
        Whether any of its calls went wrong.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self.at: str | None = ""
        self.value: Any = None
        self.error: BaseException | None = None
        self.faulted = False
        self._work = work
        self.switch()

    @classmethod
    def current(cls) -> Process | None:
        """The process that this code runs in."""
        found = getcurrent()
        return found if isinstance(found, Process) else None

    @property
    def ended(self) -> bool:
        return self.at is None

    def resume(self, told: Any = None) -> None:
        """Let the call it stands at happen, as told, and wait for the next one."""
        self.faulted = self.faulted or told is not None
        self.parent = getcurrent()
        self.switch(told)

    def finish(self, until: str = "") -> Process:
        """Resume until it has ended, or stands at a call."""
        while not self.ended and self.at != until:
            self.resume()
        return self

    def wait_at(self, where: str) -> Any:
        """Called in the process: stop here until resumed, and return what was told."""
        self.at = where
        return self.parent.switch()

    def run(self) -> None:
        """Do the work; its end leads back to whoever resumed it last."""
        try:
            self.value = self._work()
        except BaseException as error:  # noqa: BLE001 - whoever resumed it judges
            self.error = error
        finally:
            self.at = None


class InlinePool(Executor):
    """A pool that does the work at once, in the caller's thread."""

    def __init__(self, max_workers: int = 1) -> None:
        del max_workers

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(*args, **kwargs))
        return future
