"""The console's data: overview, changes, ticks and cost. It is refreshed only while a page is open."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from fanout.health import Condition, Health
from fanout.providers import is_name

from ..command import Operator, utc_now
from ..commands.cost import with_runs
from ..deployment import Deployment
from ..errors import EXPECTED, as_operator_error
from ..failure import brief
from ..logs import ticks
from ..output import safe
from ..overview import Overview, look
from ..quarantine import Quarantine, look_into
from ..spending import (
    By,
    Line,
    Spending,
    Spent,
    day_of,
    factor,
    latest,
    lines,
    measure,
    outliers,
    periods,
    spending,
    total_of,
)

PAUSE_SECONDS = 0.5
"""Pause before each read but the first. A change on AWS is on the screen within five seconds. With many providers, the
pause is as long as the last read, so that half of the time remains for the pages."""
SAMPLE = timedelta(minutes=1)
EVALUATE = timedelta(seconds=5)
"""Pause between two evaluations of the cost, each of which takes a second of CPU time with 10,000 providers."""
TICKS_EVERY = timedelta(seconds=4)
TICKS_SINCE = timedelta(hours=3)
MEASURED_UNASKED = 500
"""The most providers whose runs are read without a request: each costs a listing, and a read for each run."""

WITHOUT_ENTRY = (Condition.INVALID, Condition.UNLISTED)
"""Conditions of providers without a valid entry in the config API, which have no page."""

Row = dict[str, Any]
"""One provider for the browser: times in milliseconds since 1970; missing values are left out."""


class Rows:
    """The overview's rows and the version in which each one changed, so that a page gets only what changed."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._version = int(time.time() * 1000)  # greater than those of an earlier console
        self._changed: dict[str, int] = {}
        self._added: dict[str, int] = {}
        self._complete = self._version  # no row was removed since this version
        self._lock = threading.Lock()

    def put(self, rows: dict[str, Row]) -> set[str]:
        """Store the current rows; return the providers whose row changed in more than its cost."""
        with self._lock:
            before, self.rows = self.rows, rows
            changed = {name for name, row in rows.items() if before.get(name) != row}
            self._version += 1
            self._changed.update(dict.fromkeys(changed, self._version))
            self._added.update(dict.fromkeys(changed - before.keys(), self._version))
            self._complete = self._version if before.keys() - rows.keys() else self._complete
        return {name for name in changed if _uncosted(before.get(name, {})) != _uncosted(rows[name])}

    def since(self, version: int | None) -> tuple[int, list[Row] | None, dict[str, list[Row]] | None]:
        """The difference between a page's version and the newest one.

        Returns
        -------
        The newest version; all rows, if the page has none or has removed ones; or else the rows to add and to update.
        """
        with self._lock:
            if version is None or version < self._complete:
                return self._version, list(self.rows.values()), None
            changed = {name for name, at in self._changed.items() if at > version and name in self.rows}
            added = {name for name in changed if self._added[name] > version}
            rows = {"add": [self.rows[name] for name in added], "update": [self.rows[name] for name in changed - added]}
            return self._version, None, rows if changed else None


@dataclass(frozen=True)
class Costs:
    """The measured cost by day and by service, and the most expensive providers that are outliers."""

    by_day: Spending
    by_service: tuple[Line, ...]
    outliers: tuple[Line, ...]


class Watch:
    """Reads the stack in the background while a page is open.

    Parameters
    ----------
    op
        The operator, with the stack.
    """

    def __init__(self, op: Operator) -> None:
        self._op = op
        self._lock = threading.Lock()
        self._asked, self._costs_asked = threading.Event(), threading.Event()
        self._spent: dict[str, tuple[Spent, ...]] = {}
        self._dollars: dict[str, float] = {}
        self._periods: dict[str, timedelta] = {}
        self._unmeasured: set[str] = set()
        self._all = self._begun = self._changed = False
        self._costs: Costs | None = None
        self._samples: deque[tuple[datetime, dict[str, int]]] = deque(maxlen=60)
        self._ticks_at: datetime | None = None
        self.measuring = 0
        self.overview: Overview | None = None
        self.problem: str | None = None
        self.cost_problem: str | None = None
        self.ticks: list[dict[str, Any]] = []
        self.quarantine = Quarantine()
        self.rows = Rows()
        self.cost_rows = Rows()

    def start(self) -> None:
        """Start the background threads."""
        self._asked.set()
        threading.Thread(target=self._repeat, args=(self._asked, self.look), daemon=True).start()
        threading.Thread(target=self._repeat, args=(self._costs_asked, self.evaluate), daemon=True).start()
        threading.Thread(target=self._measure_on, daemon=True).start()

    def ask(self) -> None:
        """Request a refresh: a page is open."""
        self._asked.set()

    @property
    def stack(self) -> Deployment:
        """The stack."""
        return self._op.stack

    def say(self, error: Exception) -> str:
        """The message of an expected error, as on the command line."""
        return safe(str(as_operator_error(error, local=self._op.where.cloud_file is not None)))

    def trend(self, condition: str) -> tuple[int, timedelta] | None:
        """The change of a count and the period, at most an hour; None in the first minute."""
        if self.overview is None or self.overview.at - self._samples[0][0] < SAMPLE:
            return None
        at, counts = self._samples[0]
        return self.overview.counts.get(condition, 0) - counts.get(condition, 0), self.overview.at - at

    def look(self) -> None:
        """Read the stack once."""
        try:
            stack, now = self.stack, utc_now()
            found = look(stack)
            if self._ticks_at is None or now - self._ticks_at > TICKS_EVERY:
                self._ticks_at, self.ticks = now, ticks(stack, now - TICKS_SINCE, now)
                self.quarantine = look_into(stack)
        except EXPECTED as error:
            self.problem = self.say(error)
            self._op.disconnect()
            return
        if not self._samples or found.at - self._samples[-1][0] >= SAMPLE:
            self._samples.append((found.at, found.counts))
        changed = self.rows.put({h.provider: row(h, self._dollars.get(h.provider)) for h in found.health})
        self.overview, self.problem = found, None
        if self._begun:
            self.measure(changed)
        elif found.providers <= MEASURED_UNASKED:
            self.measure()

    def measure(self, names: Iterable[str] | None = None) -> None:
        """Request the cost of providers' runs of the latest 7 days; by default, of all that have had runs."""
        with self._lock:
            self._all, self._begun = self._all or names is None, True
            self._unmeasured.update(filter(is_name, names or ()))

    def costs(self) -> Costs | None:
        """The latest evaluation, and in `cost_rows` that of each provider; None if there is none yet.

        Requests the next one. The page does not wait for it: beside a read of 10,000 providers, it takes seconds.
        """
        self._costs_asked.set()
        return self._costs

    def evaluate(self) -> Costs | None:
        """Evaluate the measured cost if it has changed, or after a minute; return the latest evaluation."""
        now = utc_now()
        age = now - self._costs.by_day.until if self._costs else SAMPLE
        if (self._changed and age > EVALUATE) or (self._costs and age > SAMPLE):
            self._changed, since = False, latest(now)
            first = day_of(since)
            # A provider is measured again after its next run; until then, days that have become too old stay.
            found = [one for some in list(self._spent.values()) for one in some if one.day >= first]
            by_provider = lines(found, since, now, By.PROVIDER)
            self.cost_rows.put({line.name: self._cost_row(line) for line in by_provider})
            self._costs = Costs(
                spending(found, since, now, self._periods, By.DAY),
                lines(found, since, now, By.SERVICE),
                tuple(outliers(by_provider)),
            )
        return self._costs

    def _cost_row(self, line: Line) -> Row:
        """The cost of one provider for the browser; only a provider in the list has a page."""
        amounts = {"total": line.dollars, **{name.lower(): amount for name, amount in line.services.items()}}
        counts = {"runs": line.runs, "failed": line.failed, "rows": line.rows}
        href = self.rows.rows.get(line.name, {}).get("href")
        return {"id": line.name, "provider": line.name, "href": href, **counts, **amounts, "outlier": factor(line)}

    def _repeat(self, asked: threading.Event, work: Callable[[], object]) -> None:
        """Work at each request: the first time at once, later after a pause, so that a page that opens comes first."""
        pause = 0.0
        while asked.wait():
            time.sleep(pause)
            asked.clear()
            begin = time.monotonic()
            work()
            pause = max(PAUSE_SECONDS, time.monotonic() - begin)

    def _measure_on(self) -> None:
        while True:
            time.sleep(PAUSE_SECONDS)
            with self._lock:
                names, self._unmeasured = self._unmeasured, set()
                everything, self._all = self._all, False
            if names or everything:
                self.measure_now(names, everything=everything)

    def measure_now(self, names: set[str], *, everything: bool) -> None:
        """Read the cost of these providers' runs, or that of all that have had runs."""
        now = utc_now()
        try:
            stack = self.stack
            ordered = sorted(names.union(with_runs(stack)) if everything else names)
            self.measuring = len(ordered)
            self._periods = periods(stack.config_api.entries(), now)
            with ThreadPoolExecutor(8) as pool:
                measured = pool.map(partial(measure, stack, since=latest(now)), ordered)
                for name, spent in zip(ordered, measured, strict=True):
                    self._spent[name], self._dollars[name] = spent, total_of(spent)
                    self._changed = True
                    self.measuring -= 1
            for name in self.rows.rows if everything else ():
                self._dollars.setdefault(name, 0.0)
            self.cost_problem, self._changed = None, True
        except EXPECTED as error:
            self.cost_problem, self.measuring = self.say(error), 0


def row(h: Health, dollars: float | None) -> Row:
    """One provider for the browser. Names and errors are not trusted, so they are escaped."""
    pending, begun = h.pending, max(filter(None, (h.next_due, h.pending.since if h.pending else None)), default=None)
    place = list(Condition).index(h.condition) * 1e14
    made = {
        "id": h.provider,
        "provider": safe(h.provider),
        "href": None if h.condition in WITHOUT_ENTRY else f"/provider/{quote(h.provider, safe='')}",
        "status": h.condition.value,
        "objects": pending.objects if pending else None,
        "waiting": _milliseconds(pending.since if pending else None),
        "success": _milliseconds(h.last_success),
        "due": _milliseconds(h.next_due),
        "failures": h.failures or None,
        "run": h.run_id,
        "engine": h.engine,
        "dollars": None if dollars is None else float(f"{dollars:.3g}"),
        "group": None if h.group is None else safe(h.group),
        "why": safe(brief(h.failure, h.failure_count)) if h.failure else None if h.why is None else safe(h.why),
        "order": place + (_milliseconds(begun) or 0),
    }
    return {name: value for name, value in made.items() if value is not None}


def _uncosted(row: Row) -> Row:
    return {**row, "dollars": None}


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else math.floor(moment.timestamp() * 1000)
