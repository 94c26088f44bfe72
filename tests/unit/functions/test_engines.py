"""The constants of the estimate equal what they are derived from."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from contract import rates
from contract.failure import Failure
from contract.rates import lambda_seconds, pending_lambda_seconds
from fanout import schedule
from fanout.runs import Engine, RunRecord
from fanout.schedule import LAMBDA_SECONDS, choose_engine
from fanout_job.errors import DeadlineError
from fanout_job.objects import PREFETCH_OBJECTS
from tests.template.reading import ROOT, written

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def bench(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((ROOT / "docs/bench" / f"{name}.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.fault(51)
def test_the_rates_are_at_most_those_of_the_benchmarks_and_at_least_half_of_them() -> None:
    job: object = bench("job")["engines"]
    largest = job["points"][-1]  # type: ignore[index]
    standardize = bench("standardize")
    variants: object = standardize["variants"]
    (in_lambda,) = (v for name, v in variants.items() if name == "glue-fanout in Lambda")  # type: ignore[attr-defined]
    seconds = in_lambda["seconds"]

    assert 0.5 < rates.CHANGE_LOG_BYTES_PER_SECOND / (largest["bytes"] / largest["lambda"]) < 1.03
    assert 0.5 < rates.CSV_BYTES_PER_SECOND / (standardize["bytes"] / seconds) < 1.03
    assert rates.OPENED_AHEAD == PREFETCH_OBJECTS
    assert written()["Resources"]["LambdaRunFunction"]["Properties"]["Timeout"] == schedule.LAMBDA_SECONDS


@pytest.mark.parametrize(
    ("job", "key", "seconds"),
    [
        ("change_log", "a.json.gz", 27_000_000 / 900_000 + 0.025),
        ("standardize", "a.csv", 1.625),
        ("standardize", "A.CSV.GZ", 10.625),
        ("standardize", "a.tsv", 1.625),
        ("standardize", "a.xml", 8.625),
        ("standardize", "a.xml.gz", 80.625),
        ("standardize", "a", 8.625),
        ("own", "a.csv", 30.625),
    ],
)
def test_the_estimate_is_bytes_at_the_rate_of_the_format_and_a_cost_per_object(
    job: str, key: str, seconds: float
) -> None:
    assert lambda_seconds(job, [(key, 27_000_000)]) == pytest.approx(seconds)
    assert lambda_seconds(job, [(key, 27_000_000)] * 3) == pytest.approx(3 * seconds)


def test_without_names_the_format_is_taken_for_a_slow_one() -> None:
    assert pending_lambda_seconds("standardize", 2, 27_000_000) == pytest.approx(8 + 2 * 0.625)
    assert pending_lambda_seconds("change_log", 10_000, 900_000) == pytest.approx(251)


@pytest.mark.fault(51)
def test_the_advice_after_a_timeout_is_that_the_next_run_uses_glue() -> None:
    assert DeadlineError.__name__ in schedule.UNFINISHED
    assert "next run uses Glue" in DeadlineError.advice


@pytest.mark.parametrize(("engine", "chosen"), [("lambda", "glue"), ("glue", "lambda")])
def test_after_a_run_that_lambda_did_not_finish_the_next_one_uses_glue(engine: Engine, chosen: Engine) -> None:
    failed = RunRecord(
        run_id="r",
        status="failed",
        started_at=NOW,
        ended_at=NOW,
        engine=engine,
        failure=Failure(type="States.Timeout", message="late"),
    )

    assert choose_engine(1, 1.0, 100, failed)[0] == chosen


@pytest.mark.parametrize(("seconds", "chosen"), [(LAMBDA_SECONDS / 2, "lambda"), (LAMBDA_SECONDS / 2 + 1, "glue")])
def test_a_run_of_more_than_half_of_lambdas_time_uses_glue(seconds: float, chosen: Engine) -> None:
    assert choose_engine(1, seconds, 100, None)[0] == chosen
