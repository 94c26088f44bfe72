"""EventBridge Scheduler: fires the template's schedules, which moto stores but never fires."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from laptop_cloud.errors import BusyError, LaptopCloudError

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_TOLERANCE = timedelta(seconds=1)
"""How far the clock may run behind without having been set back."""


def interval(expression: str) -> timedelta | None:
    """Return the time between two ticks; None for cron() and at(), which are not supported."""
    match = _RATE.fullmatch(expression)
    return timedelta(**{f"{match[2]}s": int(match[1])}) if match else None


def fill_in(text: str, at: datetime) -> str:
    """Fill Scheduler's context attribute for the scheduled time into a schedule's Input.

    Source: EventBridge Scheduler User Guide, "Adding context attributes".
    """
    return text.replace("<aws.scheduler.scheduled-time>", at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def schedules(scheduler: Any) -> list[dict[str, Any]]:
    """Return every schedule as GetSchedule describes it."""
    listed = scheduler.list_schedules()["Schedules"]
    return [scheduler.get_schedule(Name=item["Name"], GroupName=item["GroupName"]) for item in listed]


def next_tick(at: datetime, pause: timedelta, now: datetime, waited: timedelta) -> datetime | None:
    """Return the scheduled time of the next tick if it is due.

    After several missed ticks, because this machine slept or the last tick took long, only the newest one is due. After
    the clock was set back, a tick is due as soon as the pause has passed.

    Parameters
    ----------
    at
        Scheduled time of the last tick.
    pause
        Time between two ticks.
    now
        The current time.
    waited
        Time since the last tick began, by a clock that cannot be set.
    """
    missed = (now - at) // pause
    if missed > 0:
        return at + missed * pause
    return now if waited > pause + _TOLERANCE else None


class Ticker:
    """Calls `fire` with the scheduled time, `speed` times faster than on AWS, until it is stopped.

    While the account has no free concurrent invocation, it tries again every second, as AWS does for asynchronous
    invocations.
    """

    def __init__(self, schedule: dict[str, Any], fire: Callable[[datetime], None], speed: float = 1.0) -> None:
        pause = interval(schedule["ScheduleExpression"])
        if pause is None:
            raise LaptopCloudError(f"{schedule['ScheduleExpression']} is not supported: only rate() schedules tick.")
        self.pause = pause / speed
        self._fire = fire
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"schedule-{schedule['Name']}", daemon=True)

    def start(self) -> None:
        """Fire now, and then at each interval."""
        self._thread.start()

    def stop(self) -> None:
        """Stop firing, and wait for a tick in progress."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        due: datetime | None = datetime.now(UTC)
        while not self._stopped.is_set():
            if due:
                at, began = due, time.monotonic()
                self._fire_when_free(at)
            # Short, because a wait does not end earlier when the clock jumps or this machine wakes up.
            self._stopped.wait(max(0.0, min(1.0, (at + self.pause - datetime.now(UTC)).total_seconds())))
            due = next_tick(at, self.pause, datetime.now(UTC), timedelta(seconds=time.monotonic() - began))

    def _fire_when_free(self, at: datetime) -> None:
        while not self._stopped.is_set():
            try:
                self._fire(at)
            except BusyError:
                self._stopped.wait(1.0)
            else:
                return
