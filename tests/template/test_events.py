"""events/: the real handler accepts each good sample, and rejects each bad one with a reason."""

from __future__ import annotations

import builtins
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.waiting import HANG_SECONDS
from tests.template.reading import ROOT, TEMPLATE

if TYPE_CHECKING:
    from laptop_cloud.cloud import LaptopCloud

pytestmark = pytest.mark.slow

FUNCTIONS = {
    "claim": "ClaimFunction",
    "config_api": "ConfigApiFunction",
    "dispatch": "DispatchFunction",
    "object_events": "ObjectEventsFunction",
    "producer": "ProducerFunction",
    "lambda_run": "LambdaRunFunction",
    "update_status": "UpdateStatusFunction",
}
EVENTS = sorted((ROOT / "events").rglob("*.json"))
PROVIDER = "providerA"
CHANGE = {
    "eventID": "1",
    "eventName": "INSERT",
    "eventSource": "aws:dynamodb",
    "awsRegion": "us-east-1",
    "dynamodb": {
        "Keys": {"id": {"S": "a"}},
        "NewImage": {"id": {"S": "a"}},
        "SequenceNumber": "1",
        "ApproximateCreationDateTime": 1795332600,
        "StreamViewType": "NEW_IMAGE",
    },
}


def samples(kind: str) -> list[Any]:
    return [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in EVENTS if path.stem.startswith(kind)]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopCloud]:
    from demo.table import deploy_with_table
    from laptop_cloud.cloud import LaptopCloud

    with LaptopCloud(TEMPLATE, workdir=tmp_path_factory.mktemp("cloud")) as cloud:
        deploy_with_table(cloud)
        put_manifest(cloud, read(ROOT / "events/lambda_run/good.json"))
        yield cloud


@pytest.fixture
def stack(cloud: LaptopCloud) -> Iterator[LaptopCloud]:
    """The stack in which the samples' provider is registered and has never run."""
    cloud.client("dynamodb").delete_item(TableName=cloud.physical_id("RunLedger"), Key={"provider": {"S": PROVIDER}})
    invoke(cloud, "config_api", read(ROOT / "events/config_api/good-put.json"))
    yield cloud
    cloud.wait(HANG_SECONDS)  # for the runs of a tick: they would still hold the lease in the next test


def put_manifest(cloud: LaptopCloud, event: dict[str, Any]) -> None:
    """The run that the Lambda run's sample names, with one object of one row."""
    s3 = cloud.client("s3")
    bucket, _, key = event["manifest"].removeprefix("s3://").partition("/")
    s3.create_bucket(Bucket=bucket)
    row = gzip.compress(json.dumps(CHANGE).encode() + b"\n")
    source = f"change_log/provider={event['provider']}/part-1.json.gz"
    etag = s3.put_object(Bucket=bucket, Key=source, Body=row)["ETag"]
    manifest = {
        "version": 1,
        "provider": event["provider"],
        "run_id": event["run_id"],
        "generation": 0,
        "created_at": "2026-11-22T07:30:04Z",
        "bucket": bucket,
        "objects": [{"key": source, "size": len(row), "etag": etag, "last_modified": "2026-11-22T07:29:00Z"}],
    }
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(manifest).encode())


def invoke(cloud: LaptopCloud, handler: str, event: Any) -> tuple[Any, bool]:
    """The handler's answer, and whether it failed."""
    name = cloud.physical_id(FUNCTIONS[handler])
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
    return json.loads(answer["Payload"].read()), "FunctionError" in answer


def test_every_handler_has_a_good_and_a_bad_sample(source: dict[str, Any]) -> None:
    functions = {name for name, body in source["Resources"].items() if body["Type"] == "AWS::Serverless::Function"}
    kinds = {(path.parent.name, path.stem.partition("-")[0]) for path in EVENTS}

    # Only CloudFormation calls the library's publisher, with a callback URL: tests/unit/job/test_library.py.
    assert set(FUNCTIONS.values()) == functions - {"LibraryFunction"}
    assert kinds == {(handler, kind) for handler in FUNCTIONS for kind in ("good", "bad")}


@pytest.mark.parametrize("path", samples("good"))
def test_a_good_sample_is_accepted(stack: LaptopCloud, path: Path) -> None:
    handler = path.parent.name
    if handler == "update_status":
        claim, _ = invoke(stack, "claim", read(ROOT / "events/claim/good.json"))
        assert claim["run_id"] == "providerA-20261122T073000Z"

    answer, failed = invoke(stack, handler, read(path))

    assert not failed, answer
    if handler == "config_api":
        assert answer["statusCode"] < 300, answer


@pytest.mark.parametrize("path", samples("bad"))
def test_a_bad_sample_is_refused_with_a_reason(stack: LaptopCloud, path: Path) -> None:
    answer, failed = invoke(stack, path.parent.name, read(path))

    if path.parent.name == "config_api":
        assert not failed
        assert 400 <= answer["statusCode"] < 500, answer
        assert json.loads(answer["body"])["detail"]
    else:
        assert failed, answer
        assert not hasattr(builtins, answer["errorType"]), f"a crash instead of a reason: {answer}"
        assert answer["errorMessage"]
