"""The measured cost of runs, and its forecast."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest

from cli.article import TICK, article_dollars
from cli.commands.cost import (
    FORECAST_DAYS,
    TRANSITIONS,
    TRANSITIONS_OF_FAILED,
    YEAR_DAYS,
    Spending,
    Spent,
    periods,
    spending,
    spent,
)
from fanout.costs import PRICES, glue_dollars
from fanout.runs import RunRecord
from tests.template.reading import ROOT

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def record(engine: str, **more: object) -> RunRecord:
    given = {"run_id": "r", "status": "succeeded", "started_at": NOW, "ended_at": NOW, "engine": engine, **more}
    return RunRecord.model_validate(given)


def test_a_provider_s_runs_are_added_up() -> None:
    runs = [
        record("glue", dollars=0.02, rows=10, messages=25),
        record("none"),
        record("lambda", status="failed", dollars=0.001, messages=30),
    ]

    found = spent("a", runs)

    assert (found.runs, found.failed, found.rows) == (3, 1, 10)
    assert found.engines == pytest.approx(0.021)
    assert found.messages == pytest.approx(6 * 0.4e-6), "3 requests for 25 messages, and 3 for the 30 of a failed run"
    assert found.orchestration == pytest.approx((5 + 3 + 5) * PRICES["step_functions_transition"])
    assert found.dollars == pytest.approx(found.engines + found.messages + found.orchestration)


def test_the_forecast_covers_only_the_time_since_the_first_run() -> None:
    def since(days: float) -> Spending:
        one = Spent("a", 1, 0, 0, engines=1.0, messages=0, orchestration=0, first_run=NOW - timedelta(days=days))
        return spending([one], NOW - timedelta(days=7), NOW, {})

    young, old = since(FORECAST_DAYS), since(90)

    assert young.dollars_a_year == pytest.approx(YEAR_DAYS / FORECAST_DAYS)
    assert old.dollars_a_year == pytest.approx(YEAR_DAYS / 7)
    assert young.dollars_a_month == pytest.approx(YEAR_DAYS / FORECAST_DAYS / 12)


def test_the_forecast_covers_the_time_since_the_first_run_of_the_oldest_provider() -> None:
    providers = [
        Spent(name, 1, 0, 0, engines=1.0, messages=0, orchestration=0, first_run=NOW - timedelta(days=days))
        for name, days in (("young", 3), ("old", 6))
    ]

    found = spending(providers, NOW - timedelta(days=7), NOW, {})

    assert (found.measured_days, found.dollars) == (6.0, 2.0)
    assert found.dollars_a_year == pytest.approx(121.75), "2 dollars in 6 of 365.25 days"


@pytest.mark.parametrize("age", [timedelta(minutes=1), timedelta(days=FORECAST_DAYS) - timedelta(minutes=1)])
def test_there_is_no_forecast_from_too_few_days(age: timedelta) -> None:
    one = Spent("a", 1, 0, 0, engines=1.0, messages=0, orchestration=0, first_run=NOW - age)

    found = spending([one], NOW - timedelta(days=7), NOW, {})

    assert (found.dollars, found.dollars_a_month, found.dollars_a_year) == (1.0, None, None)


def test_without_runs_the_cost_is_zero_and_there_is_no_forecast() -> None:
    found = spending([], NOW - timedelta(days=7), NOW, {"idle": timedelta(hours=1)})

    assert (found.dollars, found.measured_days, found.dollars_a_year, found.article_dollars) == (0, 0, None, 0)


def test_the_article_s_design_costs_a_glue_run_each_time_that_a_provider_is_due_even_an_idle_one() -> None:
    one = Spent("a", 3, 0, 10, engines=0.001, messages=0, orchestration=0, first_run=NOW - timedelta(days=1))

    found = spending([one], NOW - timedelta(days=7), NOW, {"a": timedelta(hours=1), "idle": timedelta(hours=2)})

    runs = 24 + 12
    assert runs * glue_dollars(60, 2) < found.article_dollars < 1.01 * runs * glue_dollars(60, 2)
    assert found.article_dollars > 100 * found.dollars


def test_the_article_s_design_starts_no_provider_more_often_than_once_per_tick() -> None:
    day = timedelta(days=1)

    assert article_dollars({"a": timedelta(minutes=1)}, {}, day) == article_dollars({"a": TICK}, {}, day)


def test_a_paused_or_invalid_entry_costs_nothing_in_the_article_s_design() -> None:
    entries = {"a": {"frequency": 60}, "paused": {"frequency": 60, "paused": True}, "wrong": {"frequency": "often"}}

    assert periods(entries, NOW) == {"a": timedelta(hours=1)}


def test_the_most_expensive_provider_is_first() -> None:
    cheap, dear = (Spent(name, 1, 0, 0, amount, 0, 0) for name, amount in (("a", 0.1), ("b", 0.2)))

    assert [one.provider for one in spending([cheap, dear], NOW, NOW, {}).providers] == ["b", "a"]


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
