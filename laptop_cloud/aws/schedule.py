"""EventBridge Scheduler: fires the template's schedules, which moto keeps but never fires."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from laptop_cloud.errors import LaptopCloudError

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")


def interval(expression: str) -> timedelta | None:
    """How long there is between two ticks; None for cron() and at(), which do not tick here."""
    match = _RATE.fullmatch(expression)
    return timedelta(**{f"{match[2]}s": int(match[1])}) if match else None


def fill_in(text: str, at: datetime) -> str:
    """A schedule's Input with Scheduler's context attribute for the scheduled time filled in.

    Source: EventBridge Scheduler User Guide, "Adding context attributes".
    """
    return text.replace("<aws.scheduler.scheduled-time>", at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def schedules(scheduler: Any) -> list[dict[str, Any]]:
    """Every schedule, in full."""
    listed = scheduler.list_schedules()["Schedules"]
    return [scheduler.get_schedule(Name=item["Name"], GroupName=item["GroupName"]) for item in listed]


class Ticker:
    """Calls `fire` with the scheduled time, so many times faster than on AWS, until it is stopped."""

    def __init__(self, schedule: dict[str, Any], fire: Callable[[datetime], None], speed: float = 1.0) -> None:
        pause = interval(schedule["ScheduleExpression"])
        if pause is None:
            raise LaptopCloudError(f"{schedule['ScheduleExpression']} does not tick here: only rate() does.")
        self.pause = pause / speed
        self._fire = fire
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"schedule-{schedule['Name']}", daemon=True)

    def start(self) -> None:
        """Fire now, and then after each pause."""
        self._thread.start()

    def stop(self) -> None:
        """Fire no more; a tick under way is waited for."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        next_tick = datetime.now(UTC)
        while not self._stopped.is_set():
            self._fire(next_tick)
            next_tick += self.pause
            self._stopped.wait(max(0.0, (next_tick - datetime.now(UTC)).total_seconds()))
