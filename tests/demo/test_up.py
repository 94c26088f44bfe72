"""What `make up` says, and what CloudFormation and CloudWatch Logs answer."""

from __future__ import annotations

from demo.up import describe, told
from laptop_cloud.aws.account import STACK_NAME
from laptop_cloud.cloud import LaptopCloud

REPORT = {
    "providers": 7,
    "due": 4,
    "started": 2,
    "deferred": 1,
    "failed_starts": 1,
    "rejected": 1,
    "faults": [],
    "rejected_providers": ["a b: is no name"],
}


def test_a_tick_is_a_sentence() -> None:
    assert told(REPORT) == (
        "Of 7 providers 4 were due: 2 started, 1 deferred, 1 failed starts, 1 entries refused. a b: is no name"
    )
    quiet = {**REPORT, "due": 0, "started": 0, "deferred": 0, "failed_starts": 0, "rejected": 0}
    assert told({**quiet, "rejected_providers": []}) == "Of 7 providers 0 were due: 0 started."


def test_what_another_function_returns_is_shown_as_it_is() -> None:
    assert told({"event": "x"}) == '{"event": "x"}'


def test_the_endpoint_and_every_output_are_told(cloud: LaptopCloud) -> None:
    said = describe(cloud)
    assert f"AWS_ENDPOINT_URL={cloud.endpoint} " in said
    assert "list-stack-resources --stack-name glue-fanout-dev" in said
    for value in cloud.outputs.values():
        assert value in said


def test_cloudformation_lists_what_was_made(cloud: LaptopCloud) -> None:
    listed = cloud.client("cloudformation").list_stack_resources(StackName=STACK_NAME)["StackResourceSummaries"]
    found = {entry["LogicalResourceId"]: (entry["ResourceType"], entry["PhysicalResourceId"]) for entry in listed}
    assert found["Job"] == ("AWS::Glue::Job", "job-test")
    assert found["Messages"] == ("AWS::SQS::Queue", cloud.outputs["QueueUrl"])


def test_what_a_function_prints_is_in_cloudwatch_logs(cloud: LaptopCloud) -> None:
    name, logs = cloud.physical_id("EchoFunction"), cloud.client("logs")
    cloud.client("lambda").invoke(FunctionName=name, Payload=b"{}")
    group = f"/aws/lambda/{name}"
    (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    assert "echo was here" in [event["message"] for event in events]
    assert f"/{name}[$LATEST]" in stream["logStreamName"]
