"""The pauses between starts, and the end of starts when the time is up."""

from __future__ import annotations

from typing import Any

import pytest

from fanout import starts
from fanout.errors import StartRefusedError, StartThrottledError
from fanout.starts import HOPELESS, LAST_ANSWER_SECONDS, LAST_START_SECONDS, TRIES, Starter, TokenBucket
from tests.harness.processes import InlinePool


class RecordedPool(InlinePool):
    """Records how it is shut down."""

    shutdowns: list[dict[str, bool]]

    def shutdown(self, **options: Any) -> None:
        self.shutdowns.append(options)


def refuse(name: str) -> bool:
    raise StartRefusedError(name)


def throttle(name: str) -> bool:
    raise StartThrottledError(name)


@pytest.fixture
def slept() -> list[float]:
    return []


def starter(start: Any, slept: list[float], time_left: float = 300.0, rate: float = 1e6) -> Starter:
    return Starter(start, TokenBucket(rate, 1e6), lambda: time_left, slept.append, InlinePool)


def test_between_two_tries_the_pause_is_a_random_part_of_a_time_that_doubles(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    monkeypatch.setattr(starts.random, "uniform", lambda low, high: (low, high))
    monkeypatch.setattr(Starter, "_pause", lambda self, seconds: slept.append(seconds) or True)  # type: ignore[func-returns-value]

    starter(throttle, slept).run(["a"])

    pauses = [one for one in slept if isinstance(one, tuple)]
    assert pauses == [(0, 0.2 * 2**attempt) for attempt in range(1, TRIES)]
    assert len(slept) == len(pauses) + TRIES, "and one pause before each try, for the token"


def test_a_start_waits_for_its_token(slept: list[float]) -> None:
    Starter(lambda name: True, TokenBucket(10, 1, lambda: 0.0), lambda: 300.0, slept.append, InlinePool).run("abc")

    assert slept == pytest.approx([0.0, 0.1, 0.2])


def test_after_a_pause_for_which_there_is_no_time_it_does_not_wait_for_a_token(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    monkeypatch.setattr(starts.random, "uniform", lambda low, high: high)

    started = starter(throttle, slept, time_left=LAST_START_SECONDS + 0.1).run(["a"])

    assert list(started.given_up) == ["a"]
    assert slept == [0.0], "only for the token of the first try"


def test_a_throttled_start_that_is_refused_then_is_refused(slept: list[float]) -> None:
    answers = iter([StartThrottledError("a"), StartRefusedError("a")])

    def start(name: str) -> bool:
        raise next(answers)

    started = starter(start, slept).run(["a"])

    assert (list(started.refused), started.given_up) == (["a"], {})


def test_after_the_end_nothing_is_waited_for(slept: list[float]) -> None:
    tried = starter(refuse, slept)
    tried.run(str(number) for number in range(2 * HOPELESS))
    assert tried.stopped
    slept.clear()

    assert tried.run(["a"]).refused == {}
    assert slept == []


@pytest.mark.parametrize(("seconds", "new"), [(LAST_START_SECONDS, ["a"]), (LAST_START_SECONDS - 0.001, [])])
def test_a_start_needs_the_time_of_one_call(slept: list[float], seconds: float, new: list[str]) -> None:
    assert starter(lambda name: True, slept, seconds).run(["a"]).new == new


def test_the_report_keeps_the_time_of_one_answer(monkeypatch: pytest.MonkeyPatch, slept: list[float]) -> None:
    waited, wait = list[float](), starts.wait

    def recorded(workers: Any, timeout: float) -> Any:
        waited.append(timeout)
        return wait(workers, timeout=timeout)

    monkeypatch.setattr(starts, "wait", recorded)
    for seconds in (100.0, LAST_ANSWER_SECONDS - 1):
        starter(lambda name: True, slept, seconds).run(["a"])

    assert waited == [100.0 - LAST_ANSWER_SECONDS, 0.0]


def test_calls_that_hang_are_left_alone_and_those_that_wait_are_cancelled() -> None:
    RecordedPool.shutdowns = []

    Starter(lambda name: True, TokenBucket(), lambda: 300.0, lambda seconds: None, RecordedPool).run(["a"])

    assert RecordedPool.shutdowns == [{"wait": False, "cancel_futures": True}]
