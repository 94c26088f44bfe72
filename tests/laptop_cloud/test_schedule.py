from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from laptop_cloud.aws.schedule import Ticker, fill_in, interval, next_tick
from laptop_cloud.errors import BusyError, LaptopCloudError
from tests.harness.waiting import HANG_SECONDS

SCHEDULE = {"Name": "tick", "Arn": "arn:s", "ScheduleExpression": "rate(15 minutes)"}


@pytest.mark.parametrize(
    ("expression", "pause"),
    [
        ("rate(1 minute)", timedelta(minutes=1)),
        ("rate(15 minutes)", timedelta(minutes=15)),
        ("rate(2 hours)", timedelta(hours=2)),
        ("rate(1 day)", timedelta(days=1)),
        ("cron(0 3 * * ? *)", None),
    ],
)
def test_the_interval_is_that_of_the_expression(expression: str, pause: timedelta | None) -> None:
    assert interval(expression) == pause


def test_the_scheduled_time_is_filled_in() -> None:
    at = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
    assert fill_in('{"at": "<aws.scheduler.scheduled-time>"}', at) == '{"at": "2026-11-22T08:30:00Z"}'


def test_a_ticker_fires_immediately_and_then_at_equal_intervals() -> None:
    fired: list[datetime] = []
    enough = threading.Event()

    def fire(at: datetime) -> None:
        fired.append(at)
        if len(fired) == 4:
            enough.set()

    ticker = Ticker(SCHEDULE, fire, speed=90_000)
    ticker.start()
    assert enough.wait(HANG_SECONDS)
    ticker.stop()
    apart = [(later - earlier) / ticker.pause for earlier, later in pairwise(fired)]
    assert ticker.pause == timedelta(seconds=0.01)
    assert [ticks for ticks in apart if ticks < 1 or ticks != int(ticks)] == []


AT = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


@pytest.mark.fault(66)
@pytest.mark.parametrize(
    ("now", "waited", "due"),
    [
        (AT + timedelta(minutes=14), timedelta(minutes=14), None),
        (AT + QUARTER, QUARTER, AT + QUARTER),
        # The machine slept for nine hours, or the clock jumped ahead: the newest missed tick runs, and only once.
        (AT + timedelta(hours=9, minutes=7), timedelta(minutes=3), AT + timedelta(hours=9)),
        # The clock was set back by a day: the schedule continues after the usual pause.
        (AT - timedelta(days=1), timedelta(minutes=14), None),
        (AT - timedelta(days=1), timedelta(minutes=15, seconds=2), AT - timedelta(days=1)),
        # The clock runs behind a little.
        (AT + QUARTER - timedelta(milliseconds=20), QUARTER, None),
    ],
)
def test_a_clock_that_jumps_and_a_machine_that_slept_miss_no_more_than_one_pause(
    now: datetime, waited: timedelta, due: datetime | None
) -> None:
    assert next_tick(AT, QUARTER, now, waited) == due


@pytest.mark.fault(66)
def test_a_tick_for_which_no_function_is_free_is_repeated_and_the_schedule_continues() -> None:
    tried: list[datetime] = []
    enough = threading.Event()

    def fire(at: datetime) -> None:
        tried.append(at)
        if len(tried) == 1:
            raise BusyError("all in use")
        if len(tried) == 3:
            enough.set()

    ticker = Ticker(SCHEDULE, fire, speed=90_000)
    ticker.start()
    assert enough.wait(HANG_SECONDS)
    ticker.stop()
    assert tried[0] == tried[1] < tried[2]


def test_a_cron_schedule_is_not_supported() -> None:
    schedule: dict[str, Any] = {**SCHEDULE, "ScheduleExpression": "cron(0 3 * * ? *)"}
    with pytest.raises(LaptopCloudError, match="only rate"):
        Ticker(schedule, lambda at: None)
