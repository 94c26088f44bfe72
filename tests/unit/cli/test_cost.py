"""Costs are measured, and forecast from the time they cover."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest

from cli.commands.cost import FORECAST_DAYS, TRANSITIONS, TRANSITIONS_OF_FAILED, YEAR_DAYS, Spent, spending, spent
from fanout.costs import PRICES, queue_dollars
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
        record("small", status="failed", dollars=0.001),
    ]

    found = spent("a", runs)

    assert (found.runs, found.failed, found.rows) == (3, 1, 10)
    assert found.engines == pytest.approx(0.021)
    assert found.messages == queue_dollars(25)
    assert found.orchestration == pytest.approx((5 + 3 + 5) * PRICES["step_functions_transition"])
    assert found.dollars == pytest.approx(found.engines + found.messages + found.orchestration)


def test_the_forecast_covers_only_the_time_since_the_first_run() -> None:
    one = Spent("a", 1, 0, 0, engines=1.0, messages=0, orchestration=0)

    young = spending([one], NOW - timedelta(days=FORECAST_DAYS), NOW - timedelta(days=7), NOW)
    old = spending([one], NOW - timedelta(days=90), NOW - timedelta(days=7), NOW)

    assert young.dollars_a_year == pytest.approx(YEAR_DAYS / FORECAST_DAYS)
    assert old.dollars_a_year == pytest.approx(YEAR_DAYS / 7)
    assert young.dollars_a_month == pytest.approx(YEAR_DAYS / FORECAST_DAYS / 12)


@pytest.mark.parametrize("age", [timedelta(minutes=1), timedelta(days=FORECAST_DAYS) - timedelta(minutes=1)])
def test_from_too_few_days_nothing_is_forecast(age: timedelta) -> None:
    one = Spent("a", 1, 0, 0, engines=1.0, messages=0, orchestration=0)

    found = spending([one], NOW - age, NOW - timedelta(days=7), NOW)

    assert (found.dollars, found.dollars_a_month, found.dollars_a_year) == (1.0, None, None)


def test_without_runs_nothing_is_spent_and_nothing_forecast() -> None:
    found = spending([], None, NOW - timedelta(days=7), NOW)

    assert (found.dollars, found.measured_days, found.dollars_a_year) == (0, 0, None)


def test_the_dearest_come_first() -> None:
    cheap, dear = (Spent(name, 1, 0, 0, amount, 0, 0) for name, amount in (("a", 0.1), ("b", 0.2)))

    assert [one.provider for one in spending([cheap, dear], NOW, NOW, NOW).providers] == ["b", "a"]


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
        "small": entered(*begin, lambda_run, good),
        "glue": entered(*begin, glue_run, "Check Job Run", good),
    } == TRANSITIONS
    for run in (lambda_run, glue_run):
        assert entered(*begin, run, "Update Status Failed", "Run Failed") == TRANSITIONS_OF_FAILED
