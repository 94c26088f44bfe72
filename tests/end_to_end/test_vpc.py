"""A stack in a VPC on the laptop cloud, which has no networks: it deploys, and a run in Lambda succeeds."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from laptop_cloud.cloud import LaptopCloud
from tests.harness.waiting import HANG_SECONDS
from tools.iam import EVERYTHING

from .conftest import ROOT, ConfigApi

pytestmark = pytest.mark.slow

VPC = {name: value for name, value in EVERYTHING.items() if name.startswith("Vpc")}
LINE = b'{"eventID": "1", "eventName": "REMOVE", "dynamodb": {"Keys": {"id": {"S": "a"}}}}\n'


def test_a_stack_in_a_vpc_runs_a_provider(workdir: Path) -> None:
    with LaptopCloud(ROOT / "template.yaml", VPC, workdir=workdir) as cloud:
        ConfigApi(cloud).call("PUT", "/acme", {"frequency": 15})
        cloud.client("s3").put_object(
            Bucket=cloud.outputs["DataBucketName"],
            Key="change_log/provider=acme/part-0.json.gz",
            Body=gzip.compress(LINE),
        )
        cloud.tick()
        (run,) = cloud.wait(HANG_SECONDS)
        messages = cloud.client("sqs").receive_message(QueueUrl=cloud.outputs["ChangesQueueUrl"])["Messages"]
        found = cloud.client("lambda").get_function_configuration(FunctionName=cloud.physical_id("DispatchFunction"))
        (job,) = cloud.client("glue").get_jobs()["Jobs"]

    assert run["status"] == "SUCCEEDED"
    assert len(messages) == 1
    assert found["VpcConfig"]["SubnetIds"] == VPC["VpcSubnetIds"].split(",")
    assert found["VpcConfig"]["SecurityGroupIds"] == VPC["VpcSecurityGroupIds"].split(",")
    assert len(job["Connections"]["Connections"]) == 1
