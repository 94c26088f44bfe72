from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.errors import FanoutError, StartRefusedError, StartThrottledError
from fanout.starts import (
    HOPELESS,
    LAST_ANSWER_SECONDS,
    LAST_START_SECONDS,
    PARALLEL,
    TRIES,
    Started,
    Starter,
    TokenBucket,
)
from tests.harness.faults import Crash
from tests.harness.processes import InlinePool
from tests.harness.waiting import HANG_SECONDS, eventually


class FakeTime:
    """A clock that advances when a caller sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.now += seconds


def starter(start, time_left: float = 300.0, rate: float = 1e6, pool=ThreadPoolExecutor) -> Starter:  # type: ignore[no-untyped-def]
    return Starter(start, TokenBucket(rate, rate), lambda: time_left, sleep=lambda seconds: None, pool=pool)


# -------------------------------------------------------------------------------------------------------- token bucket


@given(
    rate=st.floats(1, 500),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_no_window_of_time_has_more_starts_than_the_burst_and_the_rate_allow(
    rate: float, burst: int, gaps: list[float]
) -> None:
    clock = FakeTime()
    bucket = TokenBucket(rate, burst, clock)
    at = []
    for gap in gaps:
        clock.sleep(gap)
        at.append(clock.now + bucket.reserve())

    at.sort()
    for first in range(0, len(at), 7):
        for last in range(first, len(at)):
            assert last - first + 1 <= burst + rate * (at[last] - at[first]) + 1.001


def test_the_first_burst_starts_at_once_and_the_rest_wait_for_the_refill() -> None:
    bucket = TokenBucket(rate=100, burst=1000, clock=FakeTime())

    waits = [bucket.reserve() for _ in range(1200)]

    assert waits[:1000] == [0.0] * 1000
    assert waits[1000] == pytest.approx(0.01)
    assert waits[1199] == pytest.approx(2.0)


def test_an_idle_bucket_fills_up_to_its_burst_and_no_further() -> None:
    clock = FakeTime()
    bucket = TokenBucket(rate=10, burst=5, clock=clock)
    for _ in range(5):
        bucket.reserve()
    clock.sleep(3600)

    assert [bucket.reserve() for _ in range(6)] == [0, 0, 0, 0, 0, pytest.approx(0.1)]


def test_throttling_empties_the_bucket_and_halves_the_rate_once_a_second() -> None:
    clock = FakeTime()
    bucket = TokenBucket(rate=100, burst=1000, clock=clock)

    for _ in range(PARALLEL):
        bucket.throttled()

    assert bucket.reserve() == pytest.approx(1 / 50)
    clock.sleep(1)
    bucket.throttled()
    assert bucket.reserve() == pytest.approx(1 / 27.5)  # 50, recovered by 5, halved


def test_after_throttling_the_rate_recovers_and_never_exceeds_its_full_value() -> None:
    clock = FakeTime()
    bucket = TokenBucket(rate=100, burst=1, clock=clock)
    bucket.throttled()
    clock.sleep(60)
    bucket.reserve()

    assert bucket.reserve() == pytest.approx(1 / 100)


def test_the_rate_stays_above_zero_under_endless_throttling() -> None:
    clock = FakeTime()
    bucket = TokenBucket(rate=64, burst=1, clock=clock)
    for _ in range(100):
        bucket.throttled()
        clock.sleep(1)
    bucket.throttled()

    assert bucket.reserve() == pytest.approx(1 / 3.2), "a twentieth of the full rate"


# -------------------------------------------------------------------------------------------------------------- starter


def test_starts_go_out_in_the_given_order() -> None:
    seen: list[str] = []

    def start(name: str) -> bool:
        seen.append(name)
        return True

    names = [str(n) for n in range(500)]
    started = starter(start, pool=InlinePool).run(names)

    assert seen == started.new == names


def test_starts_run_in_parallel_up_to_the_limit_and_in_order() -> None:
    calls = threading.local()
    rounds: list[set[str]] = [set(), set(), set()]
    all_there = threading.Barrier(PARALLEL)

    def start(name: str) -> bool:
        calls.made = getattr(calls, "made", 0) + 1
        rounds[calls.made - 1].add(name)
        all_there.wait(timeout=HANG_SECONDS)  # fails unless this many starts run in parallel
        return True

    names = [str(n) for n in range(PARALLEL * len(rounds))]
    started = starter(start).run(names)

    assert sorted(started.new) == sorted(names)
    assert rounds == [set(names[n * PARALLEL : (n + 1) * PARALLEL]) for n in range(len(rounds))]


def test_a_throttled_start_reduces_the_rate() -> None:
    clock = FakeTime()
    bucket = TokenBucket(rate=100, burst=1000, clock=clock)
    answers = iter([StartThrottledError("a"), True])

    def start(name: str) -> bool:
        answer = next(answers)
        if isinstance(answer, StartThrottledError):
            raise answer
        return answer

    Starter(start, bucket, lambda: 300.0, sleep=lambda seconds: None).run(["a"])

    assert bucket.reserve() > 0, "the bucket's tokens are used up"


def test_twenty_refused_starts_and_a_success_do_not_end_the_tick() -> None:
    calls: list[str] = []

    def start(name: str) -> bool:
        calls.append(name)
        if name != "first":
            raise StartRefusedError(name)
        return True

    names = ["first", *(str(n) for n in range(2 * HOPELESS))]
    tried = Starter(start, TokenBucket(1e6, 1e6), lambda: 300.0, lambda seconds: None, InlinePool)

    assert len(tried.run(names).refused) == 2 * HOPELESS
    assert not tried.stopped


def test_no_more_starts_than_the_limit_run_in_parallel() -> None:
    now, most, lock = 0, 0, threading.Lock()

    def start(name: str) -> bool:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.002)  # noqa: TID251 - so that others come in, if they may
        with lock:
            now -= 1
        return True

    starter(start).run(str(n) for n in range(400))

    assert most <= PARALLEL


def test_a_throttled_start_is_retried_until_it_succeeds() -> None:
    calls: list[str] = []

    def start(name: str) -> bool:
        calls.append(name)
        if calls.count(name) < TRIES:
            raise StartThrottledError(name)
        return True

    started = starter(start).run(["a", "b"])

    assert sorted(started.new) == ["a", "b"]
    assert not started.given_up


def test_a_start_that_stays_throttled_is_given_up_and_the_others_continue() -> None:
    calls: list[str] = []

    def start(name: str) -> bool:
        calls.append(name)
        if name == "bad":
            raise StartThrottledError(name)
        return True

    started = starter(start).run(["bad", "good"])

    assert (started.new, list(started.given_up), calls.count("bad")) == (["good"], ["bad"], TRIES)


def test_a_refused_start_is_not_retried() -> None:
    calls: list[str] = []

    def start(name: str) -> bool:
        calls.append(name)
        raise StartRefusedError(name)

    started = starter(start).run(["a"])

    assert list(started.refused) == calls == ["a"]


def test_when_every_start_is_refused_only_some_are_tried() -> None:
    calls: list[str] = []

    def start(name: str) -> bool:
        calls.append(name)
        raise StartRefusedError(name)

    tried = starter(start)
    started = tried.run(str(n) for n in range(10_000))

    assert HOPELESS <= len(calls) <= HOPELESS + PARALLEL
    assert started.hopeless
    assert tried.stopped


def test_a_start_that_happened_before_is_recognized() -> None:
    started = starter(lambda name: name != "old").run(["old", "new"])

    assert (started.new, started.before) == (["new"], ["old"])


def test_nothing_is_started_when_too_little_time_is_left() -> None:
    started = starter(lambda name: True, time_left=LAST_START_SECONDS - 1).run(["a", "b"])

    assert not started.new
    assert not started.unanswered


def test_it_stops_before_the_deadline_and_reports_the_starts_so_far() -> None:
    clock = FakeTime()
    bucket = TokenBucket(rate=10, burst=1, clock=clock)
    run = Starter(lambda name: True, bucket, lambda: 30 - clock.now, sleep=clock.sleep, pool=InlinePool)

    started = run.run([str(n) for n in range(10_000)])

    assert 100 < len(started.new) < 400
    assert run.stopped
    assert clock.now <= 30 - LAST_START_SECONDS + 1


def test_the_report_is_returned_although_a_call_hangs() -> None:
    release, answered, main = threading.Event(), threading.Event(), threading.current_thread()

    def start(name: str) -> bool:
        if name == "hangs":
            release.wait(HANG_SECONDS)
        answered.set()
        return True

    def time_left() -> float:
        if threading.current_thread() is not main:
            return LAST_START_SECONDS + 1
        answered.wait(HANG_SECONDS)
        return LAST_ANSWER_SECONDS + 0.3

    try:
        run = Starter(start, TokenBucket(100, 100), time_left)
        started = run.run(["hangs", "answers"])
    finally:
        release.set()

    assert started.new == ["answers"]
    assert started.unanswered == ["hangs"]
    assert run.stopped, "no further call is started after the report"


def test_it_does_not_wait_for_a_token_that_leaves_too_little_time() -> None:
    clock = FakeTime()
    bucket = TokenBucket(rate=0.2, burst=1, clock=clock)
    run = Starter(lambda name: True, bucket, lambda: LAST_START_SECONDS + 2, sleep=clock.sleep, pool=InlinePool)

    started = run.run(["a", "b"])

    assert (started.new, clock.now, run.stopped) == (["a"], 0.0, True)


@pytest.mark.parametrize("error", [Crash("gone"), KeyError("a defect")])
def test_an_unexpected_exception_ends_all_starts_and_is_raised(error: BaseException) -> None:
    calls: list[str] = []

    def start(name: str) -> bool:
        calls.append(name)
        if name == "5":
            raise error
        return eventually(lambda: tried.stopped, "the end of all")

    tried = starter(start)
    with pytest.raises(type(error)):
        tried.run(str(n) for n in range(10_000))
    assert len(calls) <= PARALLEL


def test_without_names_no_thread_is_started() -> None:
    assert starter(lambda name: True).run([]).new == []


@pytest.mark.parametrize(
    ("refused", "others", "hopeless"),
    [
        (HOPELESS, {}, True),
        (HOPELESS - 1, {}, False),
        (HOPELESS, {"new": ["a"]}, False),
        (HOPELESS, {"before": ["a"]}, False),
    ],
)
def test_the_rest_is_hopeless_if_the_first_calls_were_all_refused(
    refused: int, others: dict[str, list[str]], hopeless: bool
) -> None:
    errors: dict[str, FanoutError] = {str(number): StartRefusedError("no") for number in range(refused)}

    assert Started(**others, refused=errors).hopeless is hopeless  # type: ignore[arg-type]
