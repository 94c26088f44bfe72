"""template.yaml: the resources that a table's stream adds to the stack; without a stream there are none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fanout.production import KEY_TIME_FORMAT, MAX_RECORD_AGE
from laptop_cloud.errors import LaptopCloudError
from laptop_cloud.stack.intrinsics import resolve
from tests.template.reading import template_with
from tools.iam import Names

STREAM = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-11-25T00:00:00.000"
KINESIS = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"


def made(**parameters: str) -> dict[str, Any]:
    """Logical id -> resolved properties."""
    template = template_with(**parameters)
    names = Names(template, None)
    return {i: resolve(r.properties, names) for i, r in template.resources.items()}


def producer(resources: dict[str, Any]) -> set[str]:
    return {logical_id for logical_id in resources if logical_id.startswith("Producer")}


def statements(role: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {s["Sid"]: s for policy in role["Policies"] for s in policy["PolicyDocument"]["Statement"]}


def test_without_a_stream_there_is_no_producer() -> None:
    assert producer(made()) == producer(made(Profile="prod")) == set()


@pytest.mark.parametrize("stream", [STREAM, KINESIS])
def test_a_stream_adds_a_producer_with_ordered_and_bounded_invocations(stream: str) -> None:
    resources = made(SourceStreamArn=stream, ProviderAttribute="pk ^ORG#([^#]+)#")

    mapping = resources["ProducerMapping"]
    assert mapping["EventSourceArn"] == stream
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert 0 < int(mapping["MaximumBatchingWindowInSeconds"]) <= 300
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ParallelizationFactor"] == 1
    assert not mapping.get("BisectBatchOnFunctionError")
    # By age and not by number: Lambda's retry rate is not documented, and a batch must outlast an S3 outage of hours.
    assert mapping["MaximumRetryAttempts"] == -1
    age = timedelta(seconds=mapping["MaximumRecordAgeInSeconds"])
    assert timedelta() < age < MAX_RECORD_AGE - timedelta(hours=1), "otherwise a batch's last delivery has other keys"
    assert age < timedelta(days=1), "a DynamoDB stream keeps records for a day"
    assert mapping["DestinationConfig"]["OnFailure"]["Destination"].endswith("DataBucket")
    variables = resources["ProducerFunction"]["Environment"]["Variables"]
    assert variables["PROVIDER_ATTRIBUTE"] == "pk ^ORG#([^#]+)#"


def test_the_producer_may_only_read_its_stream_and_write_the_change_log_and_unassigned_records() -> None:
    own = statements(made(SourceStreamArn=STREAM, ProviderAttribute="t")["ProducerFunctionRole"])
    elsewhere = statements(
        made(SourceStreamArn=STREAM, ProviderAttribute="t", ChangeLogDir="s3://mine/log")["ProducerFunctionRole"]
    )

    bucket = "arn:aws:s3:::DataBucket"
    assert own["Stream"]["Resource"] == STREAM
    below = {
        place: {action for s in own.values() if place in s["Resource"] for action in s["Action"]}
        for place in (f"{bucket}/change_log/*", f"{bucket}/unassigned/*")
    }
    assert set(map(frozenset, below.values())) == {frozenset({"s3:GetObject", "s3:PutObject"})}
    assert own["LeftOut"]["Resource"] == [f"{bucket}/aws/lambda/*", f"{bucket}/quarantine/foreign/*"]
    assert elsewhere["ChangeLog"]["Resource"] == [f"{bucket}/unassigned/*", "arn:aws:s3:::mine/log/*"]
    assert set(own["ChangeLog"]["Resource"]) == set(below)
    assert {sid for sid, s in own.items() if "s3:PutObject" in s["Action"]} == {"ChangeLog", "LeftOut"}


def test_with_a_producer_planning_uses_the_time_in_its_keys() -> None:
    def key_time_format(**parameters: str) -> str:
        return str(made(**parameters)["ClaimFunction"]["Environment"]["Variables"]["KEY_TIME_FORMAT"])

    assert key_time_format(SourceStreamArn=STREAM, ProviderAttribute="tenant") == KEY_TIME_FORMAT
    assert key_time_format(KeyTimeFormat="%Y/") == "%Y/"


@pytest.mark.parametrize(
    "parameters",
    [
        {"SourceStreamArn": STREAM},
        {"SourceStreamArn": "arn:aws:dynamodb:us-east-1:123456789012:table/orders", "ProviderAttribute": "tenant"},
        {"SourceStreamArn": STREAM, "ProviderAttribute": " ^a"},
    ],
)
def test_a_stream_without_an_attribute_and_the_arn_of_a_table_are_rejected(parameters: dict[str, str]) -> None:
    with pytest.raises(LaptopCloudError):
        made(**parameters)


@pytest.mark.parametrize("stream", [STREAM, KINESIS])
def test_a_producer_may_use_the_keys_of_its_stream_and_of_your_change_log(stream: str) -> None:
    keys = [f"arn:aws:kms:us-east-1:123456789012:key/{n}1111111-2222-3333-4444-555555555555" for n in "12"]
    resources = made(
        SourceStreamArn=stream,
        ProviderAttribute="tenant",
        ChangeLogDir="s3://own/changes",
        SourceKeyArns=",".join(keys),
    )
    role = resources["ProducerFunctionRole"]

    assert "UseKeysPolicy" in role["ManagedPolicyArns"]
    (decrypt,) = resources["UseKeysPolicy"]["PolicyDocument"]["Statement"]
    assert (decrypt["Action"], decrypt["Resource"]) == ("kms:Decrypt", keys)
    assert statements(role)["KeyOfChangeLog"]["Action"] == "kms:GenerateDataKey"
    assert statements(role)["KeyOfChangeLog"]["Resource"] == keys
    without = made(SourceStreamArn=stream, ProviderAttribute="tenant")
    assert "KeyOfChangeLog" not in statements(without["ProducerFunctionRole"])
