"""`python -m laptop_cloud up`: its output, its schedules, and the services that a user looks at next."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from laptop_cloud import up
from laptop_cloud.cloud import LaptopCloud


def test_the_description_has_the_endpoint_the_environment_and_every_output(cloud: LaptopCloud) -> None:
    described = up.describe(cloud)
    assert f"AWS_ENDPOINT_URL={cloud.endpoint} " in described
    assert f"AWS_ACCESS_KEY_ID={cloud.access_key_id} AWS_SECRET_ACCESS_KEY=" in described
    assert "list-stack-resources --stack-name laptop\n" in described
    for name, value in cloud.outputs.items():
        assert f"  {name:<24} {value}\n" in described


def test_a_schedule_keeps_ticking_after_a_failed_tick(cloud: LaptopCloud, capsys: pytest.CaptureFixture[str]) -> None:
    ticks: list[Any] = []
    done = threading.Event()

    def report(result: Any) -> str:
        ticks.append(result["event"])
        if len(ticks) == 1:
            raise KeyError("the first tick is broken")
        done.set()
        return f"tick {len(ticks)}"

    (ticker,) = up._tickers(cloud, speed=90_000, report=report)
    ticker.start()
    assert done.wait(600)
    ticker.stop()

    printed = capsys.readouterr().out
    assert "the tick failed: 'the first tick is broken'" in printed
    assert "tick 2" in printed
    assert [set(event) for event in ticks[:2]] == [{"scheduled_at"}] * 2


def test_cloudformation_lists_the_resources(cloud: LaptopCloud) -> None:
    listed = cloud.client("cloudformation").list_stack_resources(StackName="laptop")["StackResourceSummaries"]
    found = {entry["LogicalResourceId"]: (entry["ResourceType"], entry["PhysicalResourceId"]) for entry in listed}
    assert found["Job"] == ("AWS::Glue::Job", "job-test")
    assert found["Messages"] == ("AWS::SQS::Queue", cloud.outputs["QueueUrl"])


def test_a_function_s_output_is_in_cloudwatch_logs(cloud: LaptopCloud) -> None:
    name, logs = cloud.physical_id("EchoFunction"), cloud.client("logs")
    cloud.client("lambda").invoke(FunctionName=name, Payload=b"{}")
    group = f"/aws/lambda/{name}"
    (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    assert "echo was here" in [event["message"] for event in events]
    assert f"/{name}[$LATEST]" in stream["logStreamName"]
