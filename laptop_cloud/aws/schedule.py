"""EventBridge Scheduler: fires the template's schedules, which moto stores but never fires."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from laptop_cloud.errors import LaptopCloudError

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")


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


class Ticker:
    """Calls `fire` with the scheduled time, `speed` times faster than on AWS, until it is stopped."""

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
        next_tick = datetime.now(UTC)
        while not self._stopped.is_set():
            self._fire(next_tick)
            next_tick += self.pause
            self._stopped.wait(max(0.0, (next_tick - datetime.now(UTC)).total_seconds()))
