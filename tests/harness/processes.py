"""Handlers that run a port call at a time, so that a test decides how several of them interleave."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ClassVar


class Process:
    """A handler in a thread of its own that stops at every call at a port until it is told to go on.

    Only one thread runs at any moment: whoever resumes a process waits until it stands at its next call or has
    ended. So histories are as deterministic as the order in which the test resumes.

    Attributes
    ----------
    at
        The call it stands at, such as ``"ledger.put"``; None once it has ended.
    value, error
        What it returned or raised.
    faulted
        Whether any of its calls went wrong.
    """

    _threads: ClassVar[ThreadPoolExecutor] = ThreadPoolExecutor(max_workers=1000)
    _current: ClassVar[threading.local] = threading.local()

    def __init__(self, work: Callable[[], Any]) -> None:
        self.at: str | None = ""
        self.value: Any = None
        self.error: BaseException | None = None
        self.faulted = False
        self._work = work
        self._told: Any = None
        self._go, self._stopped = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._stopped.acquire()
        self._threads.submit(self._run)
        self._stopped.acquire()

    @classmethod
    def current(cls) -> Process | None:
        """The process that this code runs in."""
        return getattr(cls._current, "process", None)

    @property
    def ended(self) -> bool:
        return self.at is None

    def resume(self, told: Any = None) -> None:
        """Let the call it stands at happen, as told, and wait for the next one."""
        self.faulted = self.faulted or told is not None
        self._told = told
        self._go.release()
        self._stopped.acquire()

    def finish(self) -> Process:
        """Resume until it has ended."""
        while not self.ended:
            self.resume()
        return self

    def wait_at(self, where: str) -> Any:
        """Called in the process: stop here until resumed, and return what was told."""
        self.at = where
        self._stopped.release()
        self._go.acquire()
        return self._told

    def _run(self) -> None:
        self._current.process = self
        try:
            self.value = self._work()
        except BaseException as error:  # noqa: BLE001 - whoever resumed it judges
            self.error = error
        finally:
            self._current.process = None
            self.at = None
            self._stopped.release()


class InlinePool(Executor):
    """A pool that does the work at once, in the caller's thread."""

    def __init__(self, max_workers: int = 1) -> None:
        del max_workers

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(*args, **kwargs))
        return future
