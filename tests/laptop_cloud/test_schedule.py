from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from laptop_cloud.aws.schedule import Ticker, fill_in, interval
from laptop_cloud.errors import LaptopCloudError
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
    assert {later - earlier for earlier, later in pairwise(fired)} == {timedelta(seconds=0.01)}


def test_a_cron_schedule_is_not_supported() -> None:
    schedule: dict[str, Any] = {**SCHEDULE, "ScheduleExpression": "cron(0 3 * * ? *)"}
    with pytest.raises(LaptopCloudError, match="only rate"):
        Ticker(schedule, lambda at: None)
