"""Alarms, dashboard and saved queries use metrics and log fields that the handlers write, captured here.

tests/end_to_end/test_metrics.py compares them with the metrics of a whole recorded run.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import dispatch
import object_events
import producer
import update_status
from fanout.dispatcher import TickReport
from fanout.errors import ConfigApiUnavailableError
from fanout.production import Production
from fanout.runs import RunRecord
from laptop_cloud.stack.intrinsics import resolve
from tests.template.reading import ROOT, template_with
from tools.iam import EVERYTHING, Names

MOMENT = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
ENGINES = ("none", "lambda", "glue")
RUNBOOK = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


class FailingDispatcher:
    """A dispatcher whose config API is down."""

    class settings:  # noqa: N801 - used as an attribute
        env = "dev"

    def clock(self) -> datetime:
        return MOMENT

    def tick(self, scheduled_at: datetime, remaining_seconds: Any) -> TickReport:
        raise ConfigApiUnavailableError("the config API did not answer")


class LambdaContext:
    function_name = memory_limit_in_mb = invoked_function_arn = aws_request_id = "test"

    def get_remaining_time_in_millis(self) -> int:
        return 300_000


@pytest.fixture(scope="module")
def resources() -> dict[str, tuple[str, dict[str, Any]]]:
    """Logical id -> type and resolved properties, in the prod profile."""
    template = template_with(AlarmEmail="ops@example.com", **EVERYTHING)
    names = Names(template, None)
    return {i: (r.type, resolve(r.properties, names)) for i, r in template.resources.items()}


@pytest.fixture(scope="module")
def alarms(resources: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    return {i: properties for i, (kind, properties) in resources.items() if kind == "AWS::CloudWatch::Alarm"}


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> set[tuple[str, frozenset[str]]]:
    """Metric name and dimension names of all metrics that the handlers can emit."""
    for module in (dispatch, object_events, producer, update_status):
        monkeypatch.setattr(module.metrics.provider, "service", "glue-fanout")
        module.metrics.set_default_dimensions(env="dev")
    dispatch._measure(TickReport(scheduled_at=MOMENT.isoformat()))
    dispatch.metrics.flush_metrics()
    object_events._measure(Counter())
    object_events.metrics.flush_metrics()
    producer._measure(Production(failed=None, records=1, objects=1, unassigned=1, foreign=1))
    producer.metrics.flush_metrics()
    for engine in ENGINES:
        update_status._measure(
            RunRecord(run_id="r", status="succeeded", started_at=MOMENT, ended_at=MOMENT, engine=engine)  # type: ignore[arg-type]
        )
        update_status.metrics.flush_metrics()
    update_status.metrics.add_metric("RunsFailed", "Count", 1)
    update_status.metrics.flush_metrics()
    monkeypatch.setattr(dispatch.bootstrap, "dispatcher", FailingDispatcher)
    with pytest.raises(ConfigApiUnavailableError):
        dispatch.handler({}, LambdaContext())  # type: ignore[arg-type]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"CloudWatchMetrics"' in line]
    return {
        (metric["Name"], frozenset(dimensions))
        for line in lines
        for block in line["_aws"]["CloudWatchMetrics"]
        for dimensions in block["Dimensions"]
        for metric in block["Metrics"]
    }


def watched(resources: dict[str, tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, frozenset[str]]]:
    for kind, properties in resources.values():
        if kind == "AWS::CloudWatch::Alarm":
            parts = [part["MetricStat"]["Metric"] for part in properties.get("Metrics", ()) if "MetricStat" in part]
            for metric in parts or [properties]:
                if metric["Namespace"] == "glue-fanout":
                    yield metric["MetricName"], frozenset(d["Name"] for d in metric["Dimensions"])
        if kind == "AWS::CloudWatch::Dashboard":
            for widget in json.loads(properties["DashboardBody"])["widgets"]:
                for namespace, name, *rest in widget["properties"]["metrics"]:
                    if namespace == "glue-fanout":
                        yield name, frozenset(part for part in rest[::2] if isinstance(part, str))


def test_alarms_and_dashboard_use_metrics_that_the_handlers_emit(
    resources: dict[str, tuple[str, dict[str, Any]]], emitted: set[tuple[str, frozenset[str]]]
) -> None:
    looked_at = set(watched(resources))

    assert len(looked_at) > 15
    assert looked_at - emitted == set()


def test_the_table_of_what_may_be_left_out_names_alarms_and_metrics_that_exist(
    alarms: dict[str, dict[str, Any]], emitted: set[tuple[str, frozenset[str]]]
) -> None:
    section = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8").partition("## What may be left out")[2]
    rows = [row.split(" | ") for row in section.splitlines() if row.startswith("| ")][1:]
    raised = set(re.findall(r"\*(\w+)\*", " ".join(row[3] for row in rows)))
    counted = set(re.findall(r"metric `(\w+)`", " ".join(row[1] for row in rows)))

    assert [len(row) for row in rows] == [4] * len(rows)
    assert len(counted) == 8
    assert counted <= {name for name, _ in emitted}
    assert len(raised) == 9
    assert raised <= set(alarms)


def test_the_dashboard_shows_every_metric(
    resources: dict[str, tuple[str, dict[str, Any]]], emitted: set[tuple[str, frozenset[str]]]
) -> None:
    assert {name for name, _ in emitted} - {name for name, _ in watched(resources)} == set()


def test_a_metric_that_no_handler_emits_is_found(emitted: set[tuple[str, frozenset[str]]]) -> None:
    assert ("OldestOverdueMinutes", frozenset({"env", "service"})) in emitted
    assert ("OldestOverdueMinutes", frozenset({"env"})) not in emitted
    assert ("RunsSucceeded", frozenset({"env", "service", "engine"})) in emitted


def test_every_alarm_notifies_the_one_topic_and_is_in_the_runbook(alarms: dict[str, dict[str, Any]]) -> None:
    told = re.findall(r"^### (\w+Alarm)\n+(?=[^#\s])", RUNBOOK, re.MULTILINE)  # a heading with text below it
    topics = [properties["AlarmActions"] for properties in alarms.values()]

    assert len(alarms) == 19
    assert sorted(told) == sorted(alarms), "docs/operations.md has a section for each alarm, and for no other"
    assert topics == [topics[0]] * len(alarms)
    assert topics[0][0].endswith("AlarmTopic")
    for logical_id, properties in alarms.items():
        assert properties["OKActions"] == properties["AlarmActions"]
        assert f"See {logical_id} in docs/operations.md." in properties["AlarmDescription"]


def test_missing_ticks_raise_an_alarm_after_two_ticks(alarms: dict[str, dict[str, Any]]) -> None:
    alarm = alarms["NoTickAlarm"]

    assert (alarm["MetricName"], alarm["Statistic"], alarm["ComparisonOperator"]) == (
        "Dispatched",
        "Sum",
        "LessThanThreshold",
    )
    assert (int(alarm["Period"]), int(alarm["EvaluationPeriods"]), int(alarm["Threshold"])) == (900, 2, 1)
    assert alarm["TreatMissingData"] == "missing"
    assert alarm["InsufficientDataActions"] == alarm["AlarmActions"]
    assert {a["TreatMissingData"] for i, a in alarms.items() if i != "NoTickAlarm"} == {"notBreaching"}


@pytest.mark.parametrize("minutes", [1, 5, 10, 15, 30, 60])
def test_the_schedule_and_the_alarms_follow_the_tick(minutes: int) -> None:
    template = template_with(Profile="prod", TickMinutes=minutes)
    names = Names(template, None)
    tick, *alarms = (
        resolve(template.resources[logical_id].properties, names)
        for logical_id in (
            "DispatchFunctionTick",
            "NoTickAlarm",
            "LateProviderAlarm",
            "FailedStartsAlarm",
            "InvalidEntryAlarm",
        )
    )

    assert tick["ScheduleExpression"] == ("rate(1 minute)" if minutes == 1 else f"rate({minutes} minutes)")
    assert [int(alarm["Period"]) for alarm in alarms] == [60 * minutes] * 4


@pytest.mark.parametrize(("state", "tells"), [("ENABLED", True), ("DISABLED", False)])
def test_a_schedule_that_is_off_raises_no_alarm(state: str, tells: bool) -> None:
    template = template_with(Profile="prod", ScheduleState=state)
    properties = resolve(template.resources["NoTickAlarm"].properties, Names(template, None))

    assert properties["ActionsEnabled"] is tells


def test_the_alarm_email_is_subscribed_to_the_alarm_topic(resources: dict[str, tuple[str, dict[str, Any]]]) -> None:
    assert resources["AlarmSubscription"][1]["Endpoint"] == "ops@example.com"
    assert "AlarmSubscription" not in template_with(Profile="prod").resources


def test_the_dashboard_is_valid_and_does_not_overlap(resources: dict[str, tuple[str, dict[str, Any]]]) -> None:
    widgets = json.loads(resources["Dashboard"][1]["DashboardBody"])["widgets"]
    cells = Counter(
        (x, y)
        for widget in widgets
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    )
    titles = [widget["properties"]["title"] for widget in widgets]

    assert set(cells.values()) == {1}, "no cell belongs to two widgets"
    assert max(x for x, _ in cells) < 24
    assert [title.partition(":")[0] for title in titles] == sorted(
        (title.partition(":")[0] for title in titles), key=["Late", "Failing", "Stuck", "Costly"].index
    )


def test_saved_queries_use_fields_that_are_logged(resources: dict[str, tuple[str, dict[str, Any]]]) -> None:
    report = {f"report.{name}" for name in TickReport.__dataclass_fields__}
    record = {f"record.{name}" for name in RunRecord.model_fields}
    plain = {"level", "message", "provider", "run_id", "reason", "status", "claim.decision", "claim.reason"}
    queries = [properties for kind, properties in resources.values() if kind == "AWS::Logs::QueryDefinition"]

    assert len(queries) == 5
    for query in queries:
        asked = set(re.findall(r"\b(?:report|record|claim)\.[a-z_]+", query["QueryString"]))
        assert asked <= report | record | plain
        assert all(name in resources for name in query["LogGroupNames"])
