"""What the console knows, kept fresh only while a page is open: the overview, its changes, the ticks and the cost."""

from __future__ import annotations

import math
import re
import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from cli.command import Operator, utc_now
from cli.commands.cost import Spending, Spent, measure, periods, spending
from cli.commands.providers import is_name
from cli.commands.status import look
from cli.deployment import Deployment
from cli.errors import EXPECTED, as_operator_error
from cli.logs import ticks
from cli.output import safe
from cli.overview import Condition, Overview, Standing
from fanout.adapters import S3Objects

LATE_AFTER_MINUTES = 30
PAUSE_SECONDS = 0.5
"""Between two looks. With the page's own pace, what changes on AWS is on the screen within five seconds."""
SAMPLE = timedelta(minutes=1)
TICKS_EVERY = timedelta(seconds=4)
TICKS_SINCE = timedelta(hours=3)
WEEK = timedelta(days=7)
MEASURED_UNASKED = 500
"""The most providers whose runs are read without being asked: each costs a listing, and a read for each run."""
SERVICES = (
    "cloudformation", "dynamodb", "glue", "lambda", "logs", "s3", "scheduler", "secretsmanager", "sqs", "stepfunctions",
)  # fmt: skip
"""Whose clients are made before threads share them: boto3 makes clients in one thread only."""

_OBJECT = re.compile(r"s3://\S+/(?=[^/\s])")
"""What stands before an object's name in an error; the page of the run has it whole."""

Row = dict[str, Any]
"""One provider as the browser gets it: times in milliseconds since 1970, and nothing of what there is not."""


class Records(S3Objects):
    """An object store that reads each run's record once: a record never changes."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._known: dict[str, bytes] = {}

    def read(self, uri: str) -> bytes | None:
        """See `ObjectStore.read`."""
        body = self._known.get(uri) or super().read(uri)
        if body is not None and uri.endswith("/record.json"):
            self._known[uri] = body
        return body


class Rows:
    """The overview's rows and when each one changed, so that a page is sent only what it does not have."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._version = int(time.time() * 1000)  # grows, also from console to console
        self._changed: dict[str, int] = {}
        self._added: dict[str, int] = {}
        self._complete = self._version  # since then nothing was removed
        self._lock = threading.Lock()

    def put(self, rows: dict[str, Row]) -> set[str]:
        """Take what was found now; return the providers of whom more has changed than what they cost."""
        with self._lock:
            before, self.rows = self.rows, rows
            changed = {name for name, row in rows.items() if before.get(name) != row}
            self._version += 1
            self._changed.update(dict.fromkeys(changed, self._version))
            self._added.update(dict.fromkeys(changed - before.keys(), self._version))
            self._complete = self._version if before.keys() - rows.keys() else self._complete
        return {name for name in changed if _uncosted(before.get(name, {})) != _uncosted(rows[name])}

    def since(self, version: int | None) -> tuple[int, list[Row] | None, dict[str, list[Row]] | None]:
        """What a page that has a version needs to have the newest.

        Returns
        -------
        The newest version; all rows, for a page that has none yet or too many; else the rows to add and to update.
        """
        with self._lock:
            if version is None or version < self._complete:
                return self._version, list(self.rows.values()), None
            changed = {name for name, at in self._changed.items() if at > version and name in self.rows}
            added = {name for name in changed if self._added[name] > version}
            rows = {"add": [self.rows[name] for name in added], "update": [self.rows[name] for name in changed - added]}
            return self._version, None, rows if changed else None


class Watch:
    """Looks at the stack in the background as long as pages ask.

    Parameters
    ----------
    op
        Whose stack it is, and with which credentials.
    """

    def __init__(self, op: Operator) -> None:
        self._op = op
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._spent: dict[str, Spent] = {}
        self._unmeasured: set[str] = set()
        self._samples: deque[tuple[datetime, dict[str, int]]] = deque(maxlen=60)
        self._ticks_at: datetime | None = None
        self.measuring = 0
        self.overview: Overview | None = None
        self.problem: str | None = None
        self.cost_problem: str | None = None
        self.ticks: list[dict[str, Any]] = []
        self.rows = Rows()

    def start(self) -> None:
        """Begin to look, whenever somebody asks."""
        self._asked.set()
        for work in (self._look_on, self._measure_on):
            threading.Thread(target=work, daemon=True).start()

    def ask(self) -> None:
        """Say that a page is open, and wants to be kept up to date."""
        self._asked.set()

    @property
    def stack(self) -> Deployment:
        """The stack; found anew after it could not be reached, since `make up` may have come up again elsewhere."""
        with self._lock:
            stack = self._op.stack
            if not isinstance(stack.objects, Records):
                for service in SERVICES:
                    stack.client(service)
                vars(stack)["objects"] = Records(stack.client("s3"))
            return stack

    def say(self, error: Exception) -> str:
        """What an expected error means, in the words of the command line."""
        return safe(str(as_operator_error(error, local=self._op.where.cloud_file is not None)))

    def trend(self, condition: str) -> tuple[int, timedelta] | None:
        """By how much a count has changed, and in which time, an hour at most; None in the first minute."""
        if self.overview is None or self.overview.at - self._samples[0][0] < SAMPLE:
            return None
        at, counts = self._samples[0]
        return self.overview.counts.get(condition, 0) - counts.get(condition, 0), self.overview.at - at

    def look(self) -> None:
        """Look once."""
        try:
            stack, now = self.stack, utc_now()
            found = look(self._op, LATE_AFTER_MINUTES)
            if self._ticks_at is None or now - self._ticks_at > TICKS_EVERY:
                self._ticks_at, self.ticks = now, ticks(stack, now - TICKS_SINCE, now)
        except EXPECTED as error:
            self.problem = self.say(error)
            vars(self._op).pop("stack", None)
            return
        if not self._samples or found.at - self._samples[-1][0] >= SAMPLE:
            self._samples.append((found.at, found.counts))
        known = {name: spent.dollars for name, spent in dict(self._spent).items()}
        changed = self.rows.put({s.provider: row(s, known.get(s.provider)) for s in found.standings})
        self.overview, self.problem = found, None
        if self._spent or found.providers <= MEASURED_UNASKED:
            self.measure(changed)

    def measure(self, names: Iterable[str]) -> None:
        """Have the cost of these providers' runs of this week read soon."""
        with self._lock:
            self._unmeasured.update(filter(is_name, names))

    def spending(self) -> Spending | None:
        """What was measured; None when nothing was yet."""
        if not self._spent:
            return None
        now = utc_now()
        return spending(self._spent.values(), now - WEEK, now, periods(self.stack.config_api.entries(), now))

    def _look_on(self) -> None:
        while self._asked.wait():
            self._asked.clear()
            self.look()
            time.sleep(PAUSE_SECONDS)

    def _measure_on(self) -> None:
        while True:
            time.sleep(PAUSE_SECONDS)
            with self._lock:
                names, self._unmeasured = sorted(self._unmeasured), set()
            self.measuring = len(names)
            try:
                stack, since = self.stack, utc_now() - WEEK
                with ThreadPoolExecutor(8) as pool:
                    for spent in pool.map(partial(measure, stack, since=since), names):
                        self._spent[spent.provider] = spent
                        self.measuring -= 1
                self.cost_problem = None
            except EXPECTED as error:
                self.cost_problem = self.say(error)


def row(s: Standing, dollars: float | None) -> Row:
    """One provider for the browser. Names and errors come from outside, so what could not be shown is escaped."""
    pending, begun = s.pending, max(filter(None, (s.next_due, s.pending.since if s.pending else None)), default=None)
    place = list(Condition).index(s.condition) * 1e14
    made = {
        "id": s.provider,
        "provider": safe(s.provider),
        "href": None if s.condition is Condition.INVALID else f"/provider/{quote(s.provider, safe='')}",
        "is": s.condition.value,
        "objects": pending.objects if pending else None,
        "waiting": _milliseconds(pending.since if pending else None),
        "success": _milliseconds(s.last_success),
        "due": _milliseconds(s.next_due),
        "failures": s.failures or None,
        "run": s.run_id,
        "engine": s.engine,
        "dollars": None if dollars is None else float(f"{dollars:.3g}"),
        "group": None if s.group is None else safe(s.group),
        "why": None if s.why is None else safe(_OBJECT.sub("", s.why)),
        "order": place + (_milliseconds(begun) or 0),
    }
    return {name: value for name, value in made.items() if value is not None}


def _uncosted(row: Row) -> Row:
    return {**row, "dollars": None}


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else math.floor(moment.timestamp() * 1000)
