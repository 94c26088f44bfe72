"""Alarms and dashboard use metrics that exist: those of the code in a recorded run, those of AWS in its docs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from laptop_cloud.stack.intrinsics import resolve
from tests.end_to_end.recording import Recording, recording
from tools import chain, cost
from tools.iam import Names

__all__ = ["recording"]
pytestmark = [pytest.mark.spark, pytest.mark.slow]

Metric = tuple[str, str, tuple[tuple[str, str], ...]]
EMITTED_ON_FAULTS_ONLY = {"DispatchFailed", "ConfigApiFailed"}
"""The recorded run has no tick that fails completely; tests/template/test_observability.py tests these metrics."""
OF_AWS = {
    ("AWS/Lambda", "FunctionName"): {"Errors", "Throttles", "IteratorAge"},
    ("AWS/SQS", "QueueName"): {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
    ("AWS/States", "StateMachineArn"): {"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"},
}
"""Namespace and dimension -> metrics. Sources: the metrics pages of the Lambda, SQS and Step Functions guides."""
NAMED_BY = {
    "FunctionName": "AWS::Lambda::Function",
    "QueueName": "AWS::SQS::Queue",
    "StateMachineArn": "AWS::StepFunctions::StateMachine",
}
"""Dimension -> the kind of resource that it names."""


@pytest.fixture(scope="module")
def resources(recording: Recording) -> dict[str, dict[str, Any]]:
    """Logical id -> resolved properties of alarms and dashboard, with the stack's real names."""
    template = recording.template
    names = Names(template, recording.physical_id)
    kinds = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard")
    return {i: resolve(r.properties, names) for i, r in template.resources.items() if r.type in kinds}


def alarmed(properties: dict[str, Any]) -> Iterator[Metric]:
    parts = [query["MetricStat"]["Metric"] for query in properties.get("Metrics", ()) if "MetricStat" in query]
    for metric in parts or [properties]:
        dimensions = tuple(sorted((d["Name"], str(d["Value"])) for d in metric["Dimensions"]))
        yield metric["Namespace"], metric["MetricName"], dimensions


def shown(properties: dict[str, Any]) -> Iterator[Metric]:
    for widget in json.loads(properties["DashboardBody"])["widgets"]:
        for namespace, name, *rest in widget["properties"]["metrics"]:
            flat = [part for part in rest if isinstance(part, str)]
            yield namespace, name, tuple(sorted(zip(flat[::2], flat[1::2], strict=True)))


def watched(resources: dict[str, dict[str, Any]]) -> set[Metric]:
    return {
        metric
        for properties in resources.values()
        for metric in (shown(properties) if "DashboardBody" in properties else alarmed(properties))
    }


def test_every_alarm_and_widget_uses_a_metric_that_the_run_emitted(
    recording: Recording, resources: dict[str, dict[str, Any]]
) -> None:
    emitted = set(recording.emitted())
    own = {metric for metric in watched(resources) if metric[0] == "glue-fanout"}

    assert len(own) > 20
    assert {metric for metric in own - emitted if metric[1] not in EMITTED_ON_FAULTS_ONLY} == set()


def test_every_emitted_metric_is_shown(recording: Recording, resources: dict[str, dict[str, Any]]) -> None:
    assert {metric[1] for metric in recording.emitted()} - {metric[1] for metric in watched(resources)} == set()


def test_metrics_of_aws_are_documented_and_of_resources_of_this_stack(
    recording: Recording, resources: dict[str, dict[str, Any]]
) -> None:
    kinds = {
        str(recording.physical_id(logical_id)).rpartition("/")[2]: resource.type
        for logical_id, resource in recording.template.resources.items()
    }

    for namespace, name, dimensions in watched(resources):
        if namespace != "glue-fanout":
            ((dimension, value),) = dimensions
            assert name in OF_AWS[namespace, dimension]
            assert kinds[value.rpartition("/")[2]] == NAMED_BY[dimension], f"{value} is no {dimension} of this stack"


def test_the_cost_model_has_the_number_of_emitted_metrics(recording: Recording) -> None:
    emitted = {metric for metric in recording.emitted() if metric[0] == "glue-fanout"}

    assert len(emitted) + len(EMITTED_ON_FAULTS_ONLY) == cost.EMF_METRICS + chain.EMF_METRICS


def test_the_cost_model_counts_the_alarms_metrics(resources: dict[str, dict[str, Any]]) -> None:
    alarms = [properties for properties in resources.values() if "DashboardBody" not in properties]

    assert sum(len(list(alarmed(properties))) for properties in alarms) == cost.ALARM_METRICS + chain.ALARM_METRICS
