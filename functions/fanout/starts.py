"""Many calls in parallel: in order, within a service's rate, and ended before the function is."""

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
"""What the account's bucket for StartExecution holds and refills where it is smallest; in us-east-1, us-west-2 and
eu-west-1 it is 1,300 and 300 a second. Source: "Service quotas", Step Functions guide."""
PARALLEL = 64
"""A start costs about 1 ms of CPU and waits 40 ms for its answer, so this keeps one CPU busy; more only wait for it."""
TRIES = 6
LAST_START_SECONDS = 10.0
"""Nothing is started with less time left than this."""
LAST_ANSWER_SECONDS = 5.0
"""Nobody waits for an answer with less time left than this: what is left writes the report."""
HOPELESS = 20
"""So many refusals without one success are about the role or the state machine, not about providers."""


class NewExecutions(Protocol):
    """Port: starting executions."""

    def start(self, name: str, execution_input: str) -> bool:
        """Start an execution; False when one of that name was started before."""
        ...


class TokenBucket:
    """A token bucket like the service's own, shared by threads: `burst` at once, then `rate` a second.

    The service's bucket belongs to the whole account, so ours can only guess what is in it. Each throttled call
    spends what ours had saved and, at most once a second, halves the rate, which then recovers by a twentieth
    of its full value a second.
    """

    def __init__(
        self,
        rate: float = STARTS_PER_SECOND,
        burst: float = START_BURST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._full_rate = self._rate = rate
        self._burst = self._tokens = burst
        self._clock = clock
        self._filled_at = clock()
        self._slowed_at = self._filled_at - 1
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take the next token and return how many seconds to wait until it is there."""
        with self._lock:
            self._fill()
            self._tokens -= 1
            return max(0.0, -self._tokens / self._rate)

    def throttled(self) -> None:
        """The service's bucket was empty."""
        with self._lock:
            self._fill()
            self._tokens = min(self._tokens, 0.0)
            if self._filled_at - self._slowed_at >= 1:
                self._rate = max(self._rate / 2, self._full_rate / 64)
                self._slowed_at = self._filled_at

    def _fill(self) -> None:
        now = self._clock()
        passed, self._filled_at = now - self._filled_at, now
        self._tokens = min(self._burst, self._tokens + passed * self._rate)
        self._rate = min(self._full_rate, self._rate + passed * self._full_rate / 20)


@dataclass
class Started:
    """What became of the calls. Names that are in none of these were not tried."""

    new: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    """The service had started one of that name before."""
    refused: dict[str, FanoutError] = field(default_factory=dict)
    """Certainly not started."""
    given_up: dict[str, FanoutError] = field(default_factory=dict)
    """Throttled or failed until the tries were used up. One whose answer was lost may have started."""
    unanswered: list[str] = field(default_factory=list)
    """Tried, and no answer yet when the time was up."""

    @property
    def hopeless(self) -> bool:
        """Whether going on is pointless."""
        return len(self.refused) >= HOPELESS and not self.new and not self.before


class Starter:
    """Starts executions in parallel.

    Parameters
    ----------
    start
        Starts the execution of a name; False when there was one before.
    bucket
        Bounds the rate.
    remaining_seconds
        How long the function may still run.
    sleep, pool
        Seams for tests.
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
        """Whether the time is up or going on is pointless; `run` then tries nothing any more."""
        return self._stop.is_set()

    def run(self, names: Iterable[str]) -> Started:
        """Start them in the given order, and return when all are answered or the time is up.

        Whatever a start raises that is not one of our errors ends all of them and is raised.
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
            pool.shutdown(wait=False, cancel_futures=True)  # a call that hangs must not take the report with it
        for worker in done:
            worker.result()
        return Started(  # a copy, because an answer may still come
            unanswered=sorted(under_way),
            new=list(started.new),
            before=list(started.before),
            refused=dict(started.refused),
            given_up=dict(started.given_up),
        )

    def _work(self, waiting: deque[str], under_way: set[str], started: Started) -> None:
        try:
            while waiting and not self._stop.is_set():
                try:
                    name = waiting.popleft()
                except IndexError:  # another worker was faster
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
            if attempt < TRIES and not self._pause(random.uniform(0, 0.2 * 2**attempt)):  # noqa: S311 - jitter
                break
        if failure is not None and name not in started.refused:
            started.given_up[name] = failure
        if started.hopeless:
            self._stop.set()

    def _pause(self, seconds: float) -> bool:
        """Sleep, if there is time enough for that and another call; otherwise end all work."""
        if self._stop.is_set() or self._remaining_seconds() - seconds < LAST_START_SECONDS:
            self._stop.set()
            return False
        if seconds > 0:
            self._sleep(seconds)
        return not self._stop.is_set()
