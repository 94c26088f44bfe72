"""The measured cost of runs, by UTC day, provider, AWS service or engine, and its outliers.

`fanout cost` and the console's Cost page call these functions, so they show the same figures.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from fanout.costs import PRICES, PRICES_AS_OF, queue_dollars
from fanout.providers import parse_entries
from fanout.runs import RunRecord

from .article import article_dollars
from .deployment import Deployment
from .history import folders, read_record
from .output import counted, dollars

TRANSITIONS = {"none": 3, "lambda": 4, "glue": 5}
TRANSITIONS_OF_FAILED = 5
"""State transitions of an execution, by engine, and of one whose job fails. See statemachine/change_log.asl.json."""
SERVICES = ("Glue", "Lambda", "SQS", "Step Functions")
YEAR_DAYS = 365.25
FORECAST_DAYS = 3
"""The fewest days for a forecast: in fewer, one night, one large first run or one outage would count too much."""
DAYS = 7
DAY = timedelta(days=1)
FACTOR, LEAST_DOLLARS, LEAST_OTHERS = 3, 0.01, 3
RULE = (
    f"An outlier is a day or provider that costs at least ${LEAST_DOLLARS} and more than {FACTOR} times the "
    f"median of at least {LEAST_OTHERS} others; a day is compared with whole days."
)
EXPLAINED = 5
"""The most outliers that are explained."""
DIGITS = 9
"""Decimal places of amounts, as in the records of runs."""


class By(StrEnum):
    """The groups by which the cost is shown."""

    DAY = "day"
    PROVIDER = "provider"
    SERVICE = "service"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Spent:
    """The cost of one provider's runs of one UTC day with one engine.

    Attributes
    ----------
    day
        Of the runs' claims, such as ``2026-11-22``.
    amounts
        US dollars, in the order of `SERVICES`.
    unmeasured
        Runs whose job ended without a result, for example because it timed out. Their cost is unknown.
    run_id, run_dollars
        The most expensive run.
    """

    day: str
    provider: str
    engine: str
    runs: int
    failed: int
    rows: int
    amounts: tuple[float, ...]
    unmeasured: int
    first_run: datetime
    run_id: str
    run_dollars: float


@dataclass(frozen=True)
class Outlier:
    """Why a day or a provider is an outlier.

    Attributes
    ----------
    median
        US dollars of the other days or providers.
    largest
        The provider with the largest share of a day, or the day with the largest share of a provider.
    dollars, runs
        The cost and the number of its runs.
    run_id, run_dollars
        The most expensive of these runs.
    """

    median: float
    largest: str
    dollars: float
    runs: int
    run_id: str
    run_dollars: float


@dataclass(frozen=True)
class Line:
    """The cost of one day, provider, service or engine; a service has no numbers of runs and rows.

    Attributes
    ----------
    services
        AWS service -> US dollars.
    """

    name: str
    dollars: float
    services: dict[str, float]
    runs: int | None = None
    failed: int | None = None
    rows: int | None = None
    outlier: Outlier | None = None


@dataclass(frozen=True)
class Spending:
    """The cost of all providers' runs in a period, and a forecast; see `not_included`.

    Attributes
    ----------
    until
        The end of the period, exclusive.
    article_dollars
        What the design of the original article would have cost for the same rows.
    """

    by: By
    since: datetime
    until: datetime
    first_run: datetime | None
    lines: tuple[Line, ...]
    dollars: float
    dollars_a_month: float | None
    dollars_a_year: float | None
    article_dollars: float
    unmeasured: int
    prices_as_of: str = PRICES_AS_OF

    @property
    def covered(self) -> timedelta:
        """The period since the first run."""
        return self.until - (self.first_run or self.until)


def latest(now: datetime) -> datetime:
    """The start of the latest 7 UTC days, which include today."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - (DAYS - 1) * DAY


def day_of(moment: datetime) -> str:
    """The UTC day of a time, such as ``2026-11-22``."""
    return moment.astimezone(UTC).date().isoformat()


def measure(stack: Deployment, provider: str, since: datetime, until: datetime | None = None) -> tuple[Spent, ...]:
    """The cost of one provider's runs that were claimed in a period, from their records on S3."""
    found = folders(stack.client("s3"), stack.data_bucket, provider, since, until)
    return spent(provider, filter(None, (read_record(stack.objects, run.uri) for run in found)))


def periods(entries: Mapping[str, object], now: datetime) -> dict[str, timedelta]:
    """Provider -> its period, of the valid entries that are not paused."""
    valid, _ = parse_entries(entries, now)
    return {name: entry.period for name, entry in valid.items() if not entry.paused}


def spent(provider: str, records: Iterable[RunRecord]) -> tuple[Spent, ...]:
    """Add up the cost of one provider's runs by day and engine."""
    alike: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    for run in records:
        alike[day_of(run.started_at), run.engine].append(run)
    return tuple(_spent(day, provider, engine, runs) for (day, engine), runs in alike.items())


def _spent(day: str, provider: str, engine: str, runs: Sequence[RunRecord]) -> Spent:
    amounts = [_amounts(run) for run in runs]
    most, run_id = max((math.fsum(amount), run.run_id) for amount, run in zip(amounts, runs, strict=True))
    return Spent(
        day=day,
        provider=provider,
        engine=engine,
        runs=len(runs),
        failed=sum(run.status == "failed" for run in runs),
        rows=sum(run.rows for run in runs),
        amounts=tuple(map(math.fsum, zip(*amounts, strict=True))),
        unmeasured=sum(run.engine != "none" and not run.dollars for run in runs),
        first_run=min(run.started_at for run in runs),
        run_id=run_id,
        run_dollars=most,
    )


def _amounts(run: RunRecord) -> tuple[float, ...]:
    transitions = TRANSITIONS_OF_FAILED if run.status == "failed" else TRANSITIONS[run.engine]
    engines = (run.dollars if run.engine == engine else 0.0 for engine in ("glue", "lambda"))
    return *engines, queue_dollars(run.messages), transitions * PRICES["step_functions_transition"]


def spending(
    found: Iterable[Spent], since: datetime, until: datetime, due_every: Mapping[str, timedelta], by: By
) -> Spending:
    """Add up the cost of all providers' runs since a time, and forecast it if the period is long enough.

    Parameters
    ----------
    due_every
        Provider -> its period, for the cost of the article's design.
    """
    found = list(found)
    total = total_of(found)
    first_run = min((one.first_run for one in found), default=None)
    covered = until - (first_run or until)
    days = covered / DAY
    a_year = total / days * YEAR_DAYS if days >= FORECAST_DAYS else None
    rows: dict[str, int] = defaultdict(int)
    for one in found:
        rows[one.provider] += one.rows
    return Spending(
        by=by,
        since=since,
        until=until,
        first_run=first_run,
        lines=lines(found, since, until, by),
        dollars=total,
        dollars_a_month=None if a_year is None else a_year / 12,
        dollars_a_year=a_year,
        article_dollars=article_dollars(due_every, rows, covered),
        unmeasured=sum(one.unmeasured for one in found),
    )


def lines(found: Iterable[Spent], since: datetime, until: datetime, by: By) -> tuple[Line, ...]:
    """The cost by day, the oldest first, or by something else, the most expensive first; with its outliers.

    A day without runs has a line, too, if it is after the first day that has any.
    """
    found = list(found)
    if by is By.SERVICE:
        services = [Line(name, amount, {name: amount}) for name, amount in _services(_sums(found)).items()]
        return tuple(sorted(services, key=_most_expensive_first))
    groups: dict[str, list[Spent]] = defaultdict(list)
    for one in found:
        groups[getattr(one, by)].append(one)
    if by is By.DAY:
        days = _days(min(groups), until) if groups else []
        whole = {day for day in days if since <= _start(day) and _start(day) + DAY <= until}
        return tuple(_marked([_line(day, groups[day]) for day in days], groups, whole, "provider"))
    ordered = sorted((_line(name, group) for name, group in groups.items()), key=_most_expensive_first)
    return tuple(_marked(ordered, groups, set(groups), "day") if by is By.PROVIDER else ordered)


def total_of(group: Iterable[Spent]) -> float:
    """US dollars."""
    return round(math.fsum(_sums(group)), DIGITS)


def explain(line: Line, by: By) -> str:
    """Describe why a day or provider is an outlier, with the command that shows its most expensive run."""
    of = line.outlier
    if of is None:
        return ""
    return (
        f"{line.name} is an outlier: {dollars(line.dollars)}. The median of the other {by}s is {dollars(of.median)}. "
        f"{of.largest} has the largest share: {dollars(of.dollars)} ({of.dollars / line.dollars:.0%}) in "
        f"{counted(of.runs, 'run')}. The most expensive run cost {dollars(of.run_dollars)}; "
        f"see `fanout trace {of.run_id}`"
    )


def outliers(found: Iterable[Line]) -> list[Line]:
    """The most expensive outliers."""
    return sorted((line for line in found if line.outlier), key=_most_expensive_first)[:EXPLAINED]


def factor(line: Line) -> str | None:
    """How far an outlier is above the median; None for others."""
    if line.outlier is None:
        return None
    return f"{line.dollars / line.outlier.median:,.1f} x the median" if line.outlier.median else "others cost nothing"


def not_included(report: Spending) -> str:
    """List the costs that the amounts of a report do not include."""
    unknown = f", and the jobs of {counted(report.unmeasured, 'run')} that ended without a result"
    return f"storage, logs, alarms, ticks, the functions that claim and commit{unknown if report.unmeasured else ''}"


def _line(name: str, group: Sequence[Spent]) -> Line:
    sums = _sums(group)
    return Line(
        name=name,
        dollars=round(math.fsum(sums), DIGITS),
        services=_services(sums),
        runs=sum(one.runs for one in group),
        failed=sum(one.failed for one in group),
        rows=sum(one.rows for one in group),
    )


def _marked(
    ordered: Sequence[Line], groups: Mapping[str, Sequence[Spent]], others: set[str], share_of: str
) -> Iterable[Line]:
    """Add the outliers, in comparison with the lines of these other names."""
    amounts = sorted(line.dollars for line in ordered if line.name in others)
    for line in ordered:
        rest = len(amounts) - (line.name in others)
        if rest < LEAST_OTHERS or line.dollars < LEAST_DOLLARS:
            yield line
            continue
        median = (amounts[(rest - 1) // 2] + amounts[rest // 2]) / 2  # an outlier's own amount comes after these two
        outlier = _outlier(median, groups[line.name], share_of) if line.dollars > FACTOR * median else None
        yield replace(line, outlier=outlier)


def _outlier(median: float, group: Iterable[Spent], share_of: str) -> Outlier:
    shares: dict[str, list[Spent]] = defaultdict(list)
    for one in group:
        shares[getattr(one, share_of)].append(one)
    largest = max(sorted(shares), key=lambda name: total_of(shares[name]))
    share = shares[largest]
    most = max(share, key=lambda one: one.run_dollars)
    runs, run_dollars = sum(one.runs for one in share), round(most.run_dollars, DIGITS)
    return Outlier(round(median, DIGITS), largest, total_of(share), runs, most.run_id, run_dollars)


def _most_expensive_first(line: Line) -> tuple[float, str]:
    return -line.dollars, line.name


def _sums(group: Iterable[Spent]) -> list[float]:
    """US dollars, in the order of `SERVICES`."""
    return [math.fsum(column) for column in zip(*(one.amounts for one in group), strict=True)] or [0.0] * len(SERVICES)


def _services(sums: Iterable[float]) -> dict[str, float]:
    return {name: round(amount, DIGITS) for name, amount in zip(SERVICES, sums, strict=True)}


def _start(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def _days(first: str, until: datetime) -> list[str]:
    """The days from the first one to the last that begins before a time."""
    count = math.ceil((until - _start(first)) / DAY)
    return [day_of(_start(first) + number * DAY) for number in range(count)]
