"""Starts executions in parallel: in order, within the rate of the service, and before the function's time is up."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

from fanout.errors import FanoutError, TransientError

START_BURST = 800
STARTS_PER_SECOND = 150
"""Token bucket of StartExecution in most regions; in us-east-1, us-west-2 and eu-west-1 it is 1,300 and 300 per second.
Source: "Service quotas", Step Functions guide."""
PARALLEL = 64
"""Concurrent starts. A start takes about 1 ms of CPU and waits 40 ms for its answer, so these keep one CPU busy."""
TRIES = 6
LAST_START_SECONDS = 10.0
"""With less time left than this, no execution is started."""
LAST_ANSWER_SECONDS = 5.0
"""With less time left than this, no answer is awaited; the remaining time is for the report."""
HOPELESS = 20
"""So many refusals without a success are caused by the role or the state machine, not by providers."""


class NewExecutions(Protocol):
    """Port: starting executions."""

    def start(self, name: str, execution_input: str) -> bool:
        """Start an execution; False if one with this name was started before."""
        ...


class TokenBucket:
    """A token bucket like that of the service, shared by threads: `burst` at once, then `rate` per second.

    The service's bucket is shared by the whole account, so this one is an estimate. A throttled call empties it and, at
    most once per second, halves the rate, which then recovers by a twentieth of its full value per second.
    """

    def __init__(
        self, rate: float = STARTS_PER_SECOND, burst: float = START_BURST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._full_rate = self._rate = rate
        self._burst = self._tokens = burst
        self._clock = clock
        self._filled_at = clock()
        self._slowed_at = self._filled_at - 1
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Reserve the next token and return the seconds until it is available."""
        with self._lock:
            self._fill()
            self._tokens -= 1
            return max(0.0, -self._tokens / self._rate)

    def throttled(self) -> None:
        """The service throttled a call: its bucket was empty."""
        with self._lock:
            self._fill()
            self._tokens = min(self._tokens, 0.0)
            if self._filled_at - self._slowed_at >= 1:
                self._rate /= 2  # stays above a 40th of the full rate, because it recovers by a 20th in each second
                self._slowed_at = self._filled_at

    def _fill(self) -> None:
        now = self._clock()
        passed, self._filled_at = now - self._filled_at, now
        self._tokens = min(self._burst, self._tokens + passed * self._rate)
        self._rate = min(self._full_rate, self._rate + passed * self._full_rate / 20)


@dataclass
class Started:
    """The outcome of the calls. Names that are in none of these were not tried."""

    new: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    """An execution with this name was started before."""
    refused: dict[str, FanoutError] = field(default_factory=dict)
    """Not started."""
    given_up: dict[str, FanoutError] = field(default_factory=dict)
    """Throttled or failed until the attempts were used up. If an answer was lost, the execution may have started."""
    unanswered: list[str] = field(default_factory=list)
    """Tried, but without an answer when the time was up."""

    @property
    def hopeless(self) -> bool:
        """Whether every further call would be refused."""
        return len(self.refused) >= HOPELESS and not self.new and not self.before


class Starter:
    """Starts executions in parallel.

    Parameters
    ----------
    start
        Starts an execution; returns False if one with this name was started before.
    bucket
        Limits the rate.
    remaining_seconds
        Returns how long the function may still run.
    sleep, pool
        Replaced by tests.
    """

    def __init__(
        self,
        start: Callable[[str], bool],
        bucket: TokenBucket,
        remaining_seconds: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
        pool: Callable[[int], Executor] = ThreadPoolExecutor,
    ) -> None:
        self._start = start
        self._bucket = bucket
        self._remaining_seconds = remaining_seconds
        self._sleep = sleep
        self._pool = pool
        self._stop = threading.Event()

    @property
    def stopped(self) -> bool:
        """Whether the time is up or further calls are hopeless; `run` then starts nothing."""
        return self._stop.is_set()

    def run(self, names: Iterable[str]) -> Started:
        """Start executions in the given order, and return when all are answered or the time is up.

        An error that is not a `FanoutError` stops all starts and is raised.
        """
        waiting = deque(names)
        under_way: set[str] = set()
        started = Started()
        if not waiting:
            return started
        workers_wanted = min(PARALLEL, len(waiting))
        pool = self._pool(workers_wanted)
        try:
            workers = [pool.submit(self._work, waiting, under_way, started) for _ in range(workers_wanted)]
            done, unfinished = wait(workers, timeout=max(0.0, self._remaining_seconds() - LAST_ANSWER_SECONDS))
            if unfinished:
                self._stop.set()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # a call that hangs must not delay the report
        for worker in done:
            worker.result()
        return Started(  # a copy, because an answer may still arrive
            unanswered=sorted(under_way),
            new=list(started.new),
            before=list(started.before),
            refused=dict(started.refused),
            given_up=dict(started.given_up),
        )

    def _work(self, waiting: deque[str], under_way: set[str], started: Started) -> None:
        try:
            while not self._stop.is_set():
                try:
                    name = waiting.popleft()
                except IndexError:
                    return
                self._try(name, under_way, started)
        except BaseException:
            self._stop.set()
            raise

    def _try(self, name: str, under_way: set[str], started: Started) -> None:
        failure: FanoutError | None = None
        for attempt in range(1, TRIES + 1):
            if not self._pause(self._bucket.reserve()):
                break
            under_way.add(name)
            try:
                (started.new if self._start(name) else started.before).append(name)
                return
            except TransientError as error:
                failure = error
                self._bucket.throttled()
            except FanoutError as error:
                started.refused[name] = error
                break
            finally:
                under_way.discard(name)
            if attempt < TRIES:
                self._pause(random.uniform(0, 0.2 * 2**attempt))  # noqa: S311 - jitter
        if failure is not None and name not in started.refused:
            started.given_up[name] = failure
        if started.hopeless:
            self._stop.set()

    def _pause(self, seconds: float) -> bool:
        """Sleep, if there is enough time for that and another call; otherwise stop all starts."""
        if self._stop.is_set() or self._remaining_seconds() - seconds < LAST_START_SECONDS:
            self._stop.set()
            return False
        self._sleep(seconds)
        return not self._stop.is_set()
