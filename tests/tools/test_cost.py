"""The yearly bills: one table of prices, and a model that follows the template and the state machine."""

from __future__ import annotations

import ast

import pytest

from fanout.costs import PRICES, glue_dollars, lambda_dollars, queue_dollars
from fanout.endings import LAMBDA_RUN_MEMORY_MB
from laptop_cloud.stack.template import Template
from tests.template.reading import ROOT, template_with
from tools import bill, cost
from tools.cost import Load, article_year, our_run, our_year, total

HANDLERS = {
    "dispatch": "DispatchFunction",
    "claim": "ClaimFunction",
    "update_status": "UpdateStatusFunction",
    "lambda": "LambdaRunFunction",
    "config_api": "ConfigApiFunction",
    "object_events": "ObjectEventsFunction",
}


@pytest.fixture(scope="module")
def template() -> Template:
    """template.yaml expanded, with the parameters' defaults."""
    return template_with()


def test_the_articles_floor_is_360_dollars_a_year_for_one_provider_at_15_minutes() -> None:
    assert round(cost.glue_floor(15)) == 360
    assert round(cost.glue_floor(60)) == 90
    assert round(cost.glue_floor(24 * 60), 2) == 3.75


def test_a_provider_without_changes_costs_no_glue_here() -> None:
    assert our_year(Load())["Glue"] == 0
    assert total(our_year(Load(profile="dev"))) < total(article_year(Load())) / 20


@pytest.mark.parametrize("rows", [1_000, 10_000, 100_000])
def test_lambda_runs_are_cheaper_in_lambda(rows: int) -> None:
    assert total(our_run(rows, "lambda")) < total(our_run(rows, "glue")) < total(cost.article_run(rows)) * 1.05


def test_doubling_the_providers_doubles_what_grows_with_them() -> None:
    once, twice = our_year(Load(100, 60, 2_000)), our_year(Load(200, 60, 2_000))

    for service in ("Step Functions", "S3"):
        assert twice[service] == pytest.approx(2 * once[service])
    fixed = cost.POLLS_A_YEAR * PRICES["sqs_request"]
    assert twice["SQS"] - fixed == pytest.approx(2 * (once["SQS"] - fixed))


def test_a_provider_that_rarely_has_changes_costs_less() -> None:
    assert total(our_year(Load(1, 15, 1))) < total(our_year(Load(1, 15, 96)))


def test_unit_prices_are_in_one_table_only() -> None:
    prices = {value for value in PRICES.values() if value < 0.1} | {0.308}
    sources = [
        path
        for folder in ("contract", "functions", "tools", "laptop_cloud", "demo", "glue", "cli")
        for path in (ROOT / folder).rglob("*.py")
    ]
    strays = [
        f"{path}:{node.lineno} {node.value}"
        for path in sources
        if path.name != "costs.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value in prices
    ]
    assert len(sources) > 30
    assert strays == []


def test_the_prices_are_those_of_the_day_they_name() -> None:
    """Repeated on purpose: a change of a price needs a second look, also at PRICES_AS_OF."""
    dollars_for_a_million = {name: round(price * 1e6, 4) for name, price in PRICES.items()}

    assert dollars_for_a_million | {"glue_minimum_seconds": 60} == {
        "glue_dpu_hour": 308_000,
        "glue_minimum_seconds": 60,
        "lambda_gb_second": 16.6667,
        "lambda_request": 0.20,
        "step_functions_transition": 25,
        "scheduler_invocation": 1,
        "dynamodb_write": 0.625,
        "dynamodb_read": 0.125,
        "sqs_request": 0.40,
        "s3_list_or_put": 5,
        "s3_get": 0.4,
        "api_gateway_request": 3.5,
        "secret_month": 400_000,
        "secret_request": 5,
        "kms_key_month": 1_000_000,
        "kms_request": 3,
        "log_gb": 500_000,
        "metric_month": 300_000,
        "alarm_metric_month": 100_000,
        "dashboard_month": 3_000_000,
        "xray_trace": 5,
    }


@pytest.mark.parametrize(
    ("seconds", "workers", "dollars"), [(1, 2, 0.010267), (60, 2, 0.010267), (61, 2, 0.010438), (600, 10, 0.513333)]
)
def test_glue_bills_a_minute_at_least(seconds: float, workers: int, dollars: float) -> None:
    assert glue_dollars(seconds, workers) == pytest.approx(dollars, abs=1e-6)


def test_lambda_bills_by_the_millisecond_and_sqs_by_64_kib() -> None:
    assert lambda_dollars(1, 1024) == pytest.approx(0.0000166667 + 0.0000002)
    assert queue_dollars(10) == PRICES["sqs_request"]
    assert queue_dollars(10, mean_bytes=65_536) == pytest.approx(10 * PRICES["sqs_request"])
    assert queue_dollars(10, batch=1) == pytest.approx(10 * PRICES["sqs_request"])
    assert queue_dollars(0) == 0


def test_the_model_has_the_templates_memory_sizes(template: Template) -> None:
    sizes = {name: int(template.resources[lid].properties["MemorySize"]) for name, lid in HANDLERS.items()}

    assert sizes == cost.MEMORY_MB


def test_an_idle_provider_costs_at_most_twenty_cents_a_year_and_100_000_at_most_20_000_dollars() -> None:
    assert 0.05 < cost.further_provider(cost.our_year) <= 0.20
    assert total(our_year(Load(100_000))) <= 20_000


def test_the_model_has_the_templates_sweep(template: Template) -> None:
    assert int(str(template.parameters["SweepMinutes"])) * 60 * cost.SWEEPS_A_YEAR == 365 * 86_400


def test_the_model_has_the_dispatchers_time_limit(template: Template) -> None:
    assert int(template.resources["DispatchFunction"].properties["Timeout"]) == cost.DISPATCH_SECONDS
    assert cost.overload() == pytest.approx(908, abs=2)


def test_a_lambda_run_is_billed_by_its_functions_memory(template: Template) -> None:
    assert int(template.resources["LambdaRunFunction"].properties["MemorySize"]) == LAMBDA_RUN_MEMORY_MB


def test_the_model_has_the_templates_size_of_a_lambda_run(template: Template) -> None:
    assert int(str(template.parameters["LambdaMaxBytes"])) == cost.LAMBDA_MAX_BYTES


def test_the_plot_of_the_docs_is_a_png() -> None:
    assert (ROOT / "docs/cost.png").read_bytes().startswith(b"\x89PNG")


def test_an_impossible_load_is_rejected(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bill", "--providers", "0"])

    with pytest.raises(SystemExit):
        bill.main()
    assert "must be at least 1" in capsys.readouterr().err


def test_the_bill_has_the_cost_of_one_more_provider_idle_and_with_1000_rows_a_day() -> None:
    idle, busy = bill.side_by_side(cost.Load(100_000)).splitlines()[-2:]

    assert float(idle.split()[-1]) == round(cost.further_provider(cost.our_year), 2) <= 0.20
    assert [float(word) for word in busy.split()[4:6]] == [
        round(cost.further_provider(year, 1_000), 2) for year in (cost.article_year, cost.our_year)
    ]
