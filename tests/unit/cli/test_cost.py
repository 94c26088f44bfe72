"""The measured cost of runs by day, provider, service and engine, its outliers, and its forecast."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from cli.article import TICK, article_dollars
from cli.commands import cost
from cli.output import Page
from cli.spending import (
    DAY,
    FORECAST_DAYS,
    SERVICES,
    TRANSITIONS,
    TRANSITIONS_OF_FAILED,
    YEAR_DAYS,
    By,
    Line,
    Outlier,
    Spending,
    Spent,
    explain,
    factor,
    latest,
    lines,
    not_included,
    outliers,
    periods,
    spending,
    spent,
)
from fanout.costs import glue_dollars
from fanout.runs import RunRecord
from tests.template.reading import ROOT

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
SINCE = latest(NOW)


def record(engine: str, at: datetime = NOW, **more: object) -> RunRecord:
    given = {"run_id": "r", "status": "succeeded", "started_at": at, "ended_at": at, "engine": engine, **more}
    return RunRecord.model_validate(given)


def glue(amount: float, day: int, provider: str = "a", **more: object) -> tuple[Spent, ...]:
    """A Glue run in November that costs this much in total."""
    run_id = f"{provider}-{day}-{amount:g}"
    at = datetime(2026, 11, day, 3, tzinfo=UTC)
    return spent(provider, [record("glue", at, dollars=amount - 5 * 0.000025, run_id=run_id, **more)])


def by(what: By, *found: Iterable[Spent], until: datetime = NOW) -> Spending:
    return spending(itertools.chain(*found), SINCE, until, {}, what)


def shown(report: Spending) -> str:
    file = io.StringIO()
    cost._show(report, Page(Console(file=file, markup=False, highlight=False, soft_wrap=True), None))
    return file.getvalue()


MIXED = [
    *spent(
        "a",
        [
            record("glue", NOW - DAY, dollars=0.02, rows=10, messages=25, run_id="a-glue"),
            record("none", NOW - DAY),
            record("lambda", NOW, status="failed", dollars=0.001, messages=30, rows=5, run_id="a-lambda"),
        ],
    ),
    *spent("b", [record("lambda", NOW - DAY, dollars=0.003, rows=7, messages=7, run_id="b-lambda")]),
]


def line(name: str, dollars: float, amounts: tuple[float, ...], runs: int, failed: int, rows: int) -> Line:
    return Line(name, dollars, dict(zip(SERVICES, amounts, strict=True)), runs, failed, rows)


def test_the_cost_by_day_has_runs_rows_and_the_dollars_of_each_service() -> None:
    assert by(By.DAY, MIXED).lines == (
        line("2026-11-21", 0.0233016, (0.02, 0.003, 0.0000016, 0.0003), 3, 0, 17),
        line("2026-11-22", 0.0011262, (0, 0.001, 0.0000012, 0.000125), 1, 1, 5),
    )


def test_the_cost_by_provider_has_the_most_expensive_first() -> None:
    assert by(By.PROVIDER, MIXED).lines == (
        line("a", 0.0213274, (0.02, 0.001, 0.0000024, 0.000325), 3, 1, 15),
        line("b", 0.0031004, (0, 0.003, 0.0000004, 0.0001), 1, 0, 7),
    )


def test_the_cost_by_engine_has_runs_with_nothing_to_do() -> None:
    assert by(By.ENGINE, MIXED).lines == (
        line("glue", 0.0201262, (0.02, 0, 0.0000012, 0.000125), 1, 0, 10),
        line("lambda", 0.0042266, (0, 0.004, 0.0000016, 0.000225), 2, 1, 12),
        line("none", 0.000075, (0, 0, 0, 0.000075), 1, 0, 0),
    )


def test_the_cost_by_service_has_the_most_expensive_first_and_its_share() -> None:
    report = by(By.SERVICE, MIXED)

    assert [(one.name, one.dollars) for one in report.lines] == [
        ("Glue", 0.02),
        ("Lambda", 0.004),
        ("Step Functions", 0.000425),
        ("SQS", 0.0000028),
    ]
    assert "Glue                $0.020    82%\n" in shown(report)


@pytest.mark.parametrize("what", By)
def test_the_lines_of_every_report_add_up_to_its_total(what: By) -> None:
    report = by(what, MIXED)

    assert report.dollars == 0.0244278
    assert sum(one.dollars for one in report.lines) == pytest.approx(0.0244278, abs=1e-12)


def test_a_run_counts_for_the_utc_day_of_its_claim() -> None:
    late = datetime.fromisoformat("2026-11-22T00:30:00+02:00")

    assert [one.day for one in spent("a", [record("none", late)])] == ["2026-11-21"]


def test_the_runs_of_a_day_are_added_up_with_the_first_and_the_most_expensive_one() -> None:
    runs = [record("glue", NOW + hours * DAY / 24, dollars=hours, run_id=f"r{hours}") for hours in (2, 1, 4, 3)]

    (found,) = spent("a", runs)

    assert (found.runs, found.first_run, found.run_id) == (4, NOW + DAY / 24, "r4")


def test_a_day_without_runs_has_a_line_only_after_the_first_run() -> None:
    report = by(By.DAY, glue(0.5, 18), glue(0.5, 20))

    assert [(one.name, one.runs, one.dollars) for one in report.lines] == [
        ("2026-11-18", 1, 0.5),
        ("2026-11-19", 0, 0),
        ("2026-11-20", 1, 0.5),
        ("2026-11-21", 0, 0),
        ("2026-11-22", 0, 0),
    ]


def test_the_last_day_is_the_one_before_the_end_if_the_range_ends_at_midnight() -> None:
    report = by(By.DAY, glue(0.5, 20), until=datetime(2026, 11, 21, tzinfo=UTC))

    assert [one.name for one in report.lines] == ["2026-11-20"]


def test_an_expensive_day_names_the_provider_and_the_run_with_the_largest_share() -> None:
    usual = [glue(0.2, day) for day in (16, 17, 18, 19, 20)]
    expensive = [glue(0.3, 21), *(glue(amount, 21, "b", status="failed") for amount in (0.75, 1.25))]

    report = by(By.DAY, *usual, *expensive)

    (found,) = [one for one in report.lines if one.outlier]
    assert (found.name, found.dollars, found.runs, found.failed) == ("2026-11-21", 2.3, 3, 2)
    assert found.outlier == Outlier(median=0.2, largest="b", dollars=2.0, runs=2, run_id="b-21-1.25", run_dollars=1.25)
    sentence = (
        "2026-11-21 is an outlier: $2.30. The median of the other days is $0.20. b has the largest share: $2.00 (87%) "
        "in 2 runs. The most expensive run cost $1.25; see `fanout trace b-21-1.25`"
    )
    assert explain(found, By.DAY) == sentence
    assert sentence in shown(report)
    assert factor(found) == "11.5 x the median"
    assert "  11.5 x the median\n" in shown(report)


def test_an_expensive_provider_names_the_day_and_the_run_with_the_largest_share() -> None:
    usual = [glue(amount, 20, name) for name, amount in (("b", 0.1), ("c", 0.2), ("d", 0.4), ("e", 0.5))]

    report = by(By.PROVIDER, *usual, glue(0.5, 20), glue(1.5, 21))

    assert [(one.name, one.outlier) for one in report.lines] == [
        ("a", Outlier(median=0.3, largest="2026-11-21", dollars=1.5, runs=1, run_id="a-21-1.5", run_dollars=1.5)),
        *((name, None) for name in ("e", "d", "c", "b")),
    ]


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ((0.1, 0.1, 0.1, 0.31), [22]),
        ((0.25, 0.25, 0.25, 0.75), []),
        ((0.1, 0.2, 0.3, 0.6), []),
        ((0.31, 0.1, 0.1, 0.1), [19]),
        ((0.001, 0.001, 0.001, 0.01), [22]),
        ((0.001, 0.001, 0.001, 0.009), []),
        ((0.1, 0.1, 9), []),
        ((0.1, 0.1, 0.1, 0.1, 9, 9), [21, 22]),
        ((0.1, 9, 9, 9), []),
        ((0.1, 0.1, 0.3, 0.5, 0.61), [22]),
        ((0.1, 0.1, 0.3, 0.5, 0.6), []),
    ],
    ids=[
        "more than three times the median",
        "three times the median",
        "three times the middle one of three days",
        "the first day",
        "a cent",
        "less than a cent",
        "too few others",
        "two of six days",
        "most days are expensive",
        "more than three times the mean of the two middle days",
        "three times the mean of the two middle days",
    ],
)
def test_a_day_is_an_outlier_if_it_costs_a_cent_and_more_than_three_times_the_median_of_the_others(
    amounts: tuple[float, ...], expected: list[int]
) -> None:
    days = range(23 - len(amounts), 23)

    report = by(By.DAY, *map(glue, amounts, days), until=datetime(2026, 11, 23, tzinfo=UTC))

    assert [int(one.name[-2:]) for one in report.lines if one.outlier] == expected


def test_the_only_days_with_a_cost_are_outliers_of_days_without() -> None:
    report = by(By.DAY, spent("a", [record("none", NOW - 5 * DAY)]), glue(0.5, 20))

    assert [(one.name, factor(one)) for one in report.lines if one.outlier] == [("2026-11-20", "others cost nothing")]


def test_a_day_is_compared_with_whole_days_only_but_may_be_an_outlier_itself() -> None:
    amounts = {18: 1.0, 19: 1.0, 20: 1.0, 21: 1.0, 22: 9.0}
    hours = {"start": datetime(2026, 11, 18, 2, tzinfo=UTC), "end": datetime(2026, 11, 22, 4, tzinfo=UTC)}
    found = [one for day, amount in amounts.items() for one in glue(amount, day)]

    def named(start: datetime, end: datetime) -> list[str]:
        return [one.name for one in lines(found, start, end, By.DAY) if one.outlier]

    assert named(**hours) == ["2026-11-22"], "compared with the 19th to the 21st"
    assert named(hours["start"] + DAY, hours["end"]) == [], "only the 20th and the 21st are whole days"


@pytest.mark.parametrize(
    ("start", "named"),
    [
        (datetime(2026, 11, 18, tzinfo=UTC), ["2026-11-21"]),
        (datetime(2026, 11, 18, 2, tzinfo=UTC), []),
        (datetime(2026, 11, 19, tzinfo=UTC), []),
    ],
    ids=["three whole days before", "the first of them in part", "two whole days before"],
)
def test_a_day_is_not_compared_with_the_last_day_before_it_is_over(start: datetime, named: list[str]) -> None:
    found = [one for day in (18, 19, 20, 21, 22) for one in glue(9.0 if day == 21 else 1.0, day)]

    report = lines(found, start, datetime(2026, 11, 22, 4, tzinfo=UTC), By.DAY)

    assert [one.name for one in report if one.outlier] == named


def test_only_outliers_are_listed_and_explained() -> None:
    report = by(By.PROVIDER, *(glue(0.02, 20, name) for name in "abcd"), glue(1.0, 20, "e"))

    assert [one.name for one in outliers(report.lines)] == ["e"]
    assert [bool(explain(one, By.PROVIDER)) for one in report.lines] == [True, False, False, False, False]


def test_only_the_most_expensive_outliers_are_explained() -> None:
    usual = [glue(0.02, 20, f"usual-{number}") for number in range(20)]

    report = by(By.PROVIDER, *usual, *(glue(amount, 20, f"p{amount}") for amount in (1, 2, 3, 4, 5, 6)))

    assert [one.name for one in outliers(report.lines)] == ["p6", "p5", "p4", "p3", "p2"]


def test_the_text_has_50_providers_and_the_number_of_the_others() -> None:
    report = by(By.PROVIDER, *(glue(0.02, 20, f"p{number:03}") for number in range(53)))

    assert "p049" in shown(report)
    assert "p050" not in shown(report)
    assert "\n3 more not shown; --json lists all\n" in shown(report)


def test_a_run_that_ended_without_a_result_is_said_not_to_be_included() -> None:
    report = by(By.DAY, MIXED, spent("c", [record("glue", status="failed")]))

    assert (by(By.DAY, MIXED).unmeasured, report.unmeasured) == (0, 1)
    assert ", and the jobs of 1 run that ended without a result" in not_included(report)
    assert "without a result" not in not_included(by(By.DAY, MIXED))


def test_the_default_range_is_the_latest_seven_utc_days() -> None:
    assert latest(datetime.fromisoformat("2026-11-22T01:00:00+02:00")) == datetime(2026, 11, 15, tzinfo=UTC)


def test_the_forecast_covers_only_the_time_since_the_first_run() -> None:
    def since(days: float) -> Spending:
        first = NOW - timedelta(days=days)
        one = spent("a", [record("glue", first, dollars=1 - 5 * 0.000025)])
        return spending(one, first, NOW, {}, By.PROVIDER)

    young, old = since(FORECAST_DAYS), since(6)

    assert young.dollars_a_year == pytest.approx(YEAR_DAYS / FORECAST_DAYS)
    assert young.dollars_a_month == pytest.approx(YEAR_DAYS / FORECAST_DAYS / 12)
    assert (old.covered, old.dollars) == (6 * DAY, 1.0)
    assert old.dollars_a_year == pytest.approx(60.875), "1 dollar in 6 of 365.25 days"
    assert "Forecast at this rate: $5.07 per month, $60.88 per year.\n" in shown(old)


def test_the_forecast_covers_the_time_since_the_first_run_of_the_oldest_provider() -> None:
    found = [
        one
        for name, days in (("young", 3), ("old", 6))
        for one in spent(name, [record("glue", NOW - days * DAY, dollars=1 - 5 * 0.000025)])
    ]

    report = spending(found, NOW - 7 * DAY, NOW, {}, By.PROVIDER)

    assert (report.covered, report.dollars) == (6 * DAY, 2.0)
    assert report.dollars_a_year == pytest.approx(121.75), "2 dollars in 6 of 365.25 days"


@pytest.mark.parametrize("age", [timedelta(minutes=1), timedelta(days=FORECAST_DAYS) - timedelta(minutes=1)])
def test_there_is_no_forecast_from_too_few_days(age: timedelta) -> None:
    found = spending(spent("a", [record("glue", NOW - age, dollars=1.0)]), NOW - 7 * DAY, NOW, {}, By.PROVIDER)

    assert (found.dollars, found.dollars_a_month, found.dollars_a_year) == (1.000125, None, None)
    assert "No forecast yet: it needs 3 days of runs.\n" in shown(found)


@pytest.mark.parametrize("what", By)
def test_without_runs_the_cost_is_zero_and_there_is_no_forecast(what: By) -> None:
    found = spending([], NOW - 7 * DAY, NOW, {"idle": timedelta(hours=1)}, what)

    assert (found.dollars, found.first_run, found.dollars_a_year, found.article_dollars) == (0, None, None, 0)
    assert found.covered == timedelta(0)
    assert sum(one.dollars for one in found.lines) == 0


def test_the_article_s_design_costs_a_glue_run_each_time_that_a_provider_is_due_even_an_idle_one() -> None:
    one = spent("a", [record("lambda", NOW - DAY, dollars=0.001, rows=10)])

    found = spending(one, NOW - 7 * DAY, NOW, {"a": timedelta(hours=1), "idle": timedelta(hours=2)}, By.PROVIDER)

    runs = 24 + 12
    assert runs * glue_dollars(60, 2) < found.article_dollars < 1.01 * runs * glue_dollars(60, 2)
    assert found.article_dollars > 100 * found.dollars


def test_the_article_s_design_is_priced_for_the_rows_of_all_runs_of_a_provider() -> None:
    runs = [record(engine, NOW - DAY, rows=rows) for engine, rows in (("glue", 30_000), ("lambda", 10_000))]

    found = spending(spent("a", runs), NOW - 7 * DAY, NOW, {"a": timedelta(hours=1)}, By.PROVIDER)

    assert found.article_dollars == article_dollars({"a": timedelta(hours=1)}, {"a": 40_000}, DAY)


def test_the_article_s_design_starts_no_provider_more_often_than_once_per_tick() -> None:
    assert article_dollars({"a": timedelta(minutes=1)}, {}, DAY) == article_dollars({"a": TICK}, {}, DAY)


def test_a_paused_or_invalid_entry_costs_nothing_in_the_article_s_design() -> None:
    entries = {"a": {"frequency": 60}, "paused": {"frequency": 60, "paused": True}, "wrong": {"frequency": "often"}}

    assert periods(entries, NOW) == {"a": timedelta(hours=1)}


def test_transitions_are_those_of_the_state_machine() -> None:
    machine = json.loads((ROOT / "statemachine/change_log.asl.json").read_text(encoding="utf-8"))
    states = machine["States"]

    def entered(*steps: str) -> int:
        """Check that each state leads to the next, and count them."""
        for state, following in itertools.pairwise(steps):
            ways = [states[state].get("Next"), states[state].get("Default")]
            ways += [way["Next"] for kind in ("Choices", "Catch") for way in states[state].get(kind, ())]
            assert following in ways, (state, following)
        assert "Next" not in states[steps[-1]]
        return len(steps)

    begin, good = ("Claim Partition", "Choose Engine"), "Update Status Success"
    lambda_run, glue_run = "Run change_log in Lambda", "Start change_log Glue Job"
    assert {
        "none": entered(*begin, good),
        "lambda": entered(*begin, lambda_run, good),
        "glue": entered(*begin, glue_run, "Check Job Run", good),
    } == TRANSITIONS
    for run in (lambda_run, glue_run):
        assert entered(*begin, run, "Update Status Failed", "Run Failed") == TRANSITIONS_OF_FAILED
