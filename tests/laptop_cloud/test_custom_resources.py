"""A custom resource is made by its function, which gets CloudFormation's event and responds to its ResponseURL."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from laptop_cloud.cloud import LaptopCloud

from .conftest import FIXTURES

TEMPLATE = FIXTURES / "custom_resources" / "template.yaml"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopCloud]:
    with LaptopCloud(TEMPLATE, workdir=tmp_path_factory.mktemp("custom")) as up:
        yield up


def test_ref_and_getatt_return_the_function_s_response(cloud: LaptopCloud) -> None:
    assert cloud.outputs["Thing"] == "made-by-hand"
    assert cloud.outputs["ThingNames"] == "a+b"


def test_the_function_gets_the_event_of_cloudformation(cloud: LaptopCloud) -> None:
    event = json.loads(cloud.outputs["ThingEvent"])
    assert event.pop("ResponseURL").startswith("http://127.0.0.1:")
    assert event.pop("RequestId")
    token = event["ServiceToken"]
    assert token.endswith(f":function:{cloud.physical_id('Maker')}")
    assert event == {
        "RequestType": "Create",
        "ServiceToken": token,
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/laptop/laptop",
        "LogicalResourceId": "Thing",
        "ResourceType": "Custom::Thing",
        "ResourceProperties": {
            "ServiceToken": token,
            "ServiceTimeout": "600",
            "How": "answer",
            "Count": "3",
            "Share": "0.5",
            "Nested": {"Deep": "true", "List": ["1", "text", "false"]},
        },
    }
    other = json.loads(cloud.outputs["ByAliasEvent"])
    assert other["ResourceProperties"]["Of"] == "made-by-hand"
    assert json.loads(cloud.outputs["ByVersionEvent"])["ResourceType"] == "AWS::CloudFormation::CustomResource"


def test_a_published_version_and_its_alias_reach_the_function(cloud: LaptopCloud) -> None:
    arn = cloud.client("lambda").get_function_configuration(FunctionName=cloud.physical_id("Maker"))["FunctionArn"]
    assert (cloud.outputs["Version"], cloud.outputs["Alias"]) == (f"{arn}:1", f"{arn}:live")
    assert cloud.outputs["ByVersionVersion"] == cloud.outputs["ByAliasVersion"] == "1"
    for token in (cloud.outputs["Version"], cloud.outputs["Alias"]):
        assert version_seen(cloud, FunctionName=token) == "1"
    assert version_seen(cloud, FunctionName=arn) == "$LATEST"
    assert version_seen(cloud, FunctionName=arn, Qualifier="live") == "1"


def version_seen(cloud: LaptopCloud, **named: str) -> str:
    """Return the version that the handler sees in its context."""
    payload = json.dumps({"ResourceProperties": {"How": "version"}}).encode()
    return str(json.loads(cloud.client("lambda").invoke(Payload=payload, **named)["Payload"].read()))


def test_a_schedule_reaches_the_published_version(cloud: LaptopCloud) -> None:
    assert cloud.tick() == "1"


def test_a_failed_event_of_a_version_names_the_version(cloud: LaptopCloud) -> None:
    payload = json.dumps({"ResourceProperties": {"How": "crash"}}).encode()
    cloud.client("lambda").invoke(FunctionName=cloud.outputs["Alias"], InvocationType="Event", Payload=payload)
    received = cloud.client("sqs").receive_message(QueueUrl=cloud.physical_id("Undelivered"), WaitTimeSeconds=10)
    (message,) = received["Messages"]
    record = json.loads(message["Body"])
    assert record["requestContext"]["functionArn"] == cloud.outputs["Version"]
    assert record["responseContext"]["executedVersion"] == "1"
