"""Handlers that run one port call at a time, so that a test decides how they interleave."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from greenlet import getcurrent, greenlet


class Process(greenlet):
    """A handler that stops at every call at a port until it is resumed.

    It has its own stack and no thread: `resume` returns when the handler is at its next call or has ended. So only the
    order in which the test resumes handlers determines a history, and no scheduler does.

    Attributes
    ----------
    at
        The call that it waits for, such as ``"ledger.put"``; None after its end.
    value, error
        Its return value, or the error that it raised.
    faulted
        Whether any of its calls had a fault.
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
        """Execute the call that it waits for, with the given fault, and run to the next one."""
        self.faulted = self.faulted or told is not None
        self.parent = getcurrent()
        self.switch(told)

    def finish(self, until: str = "") -> Process:
        """Resume until it has ended, or waits for the call `until`."""
        while not self.ended and self.at != until:
            self.resume()
        return self

    def wait_at(self, where: str) -> Any:
        """Stop the process here until it is resumed; return the fault of the call. Called in the process."""
        self.at = where
        return self.parent.switch()

    def run(self) -> None:
        """Do the work; at its end, the last `resume` returns."""
        try:
            self.value = self._work()
        except BaseException as error:  # noqa: BLE001 - the test that resumed it judges
            self.error = error
        finally:
            self.at = None


class InlinePool(Executor):
    """A pool that does the work immediately, in the caller's thread."""

    def __init__(self, max_workers: int = 1) -> None:
        del max_workers

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(*args, **kwargs))
        return future
