"""Change records in the formats of DynamoDB Streams, Kinesis and the export, and a run to read them."""

from __future__ import annotations

import json
from typing import Any

from fanout_job.settings import Settings

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
KEYS = {"pk": {"S": "a"}, "sk": {"N": "7"}}
NEW = {**KEYS, "price": {"N": "1.50"}}
OLD = {**KEYS, "price": {"N": "1.25"}}

SETTINGS = Settings(
    provider="acme",
    run_id="run-1",
    manifest="s3://data/m.json",
    run_dir="s3://data/",
    queue_url="https://sqs.eu-west-1.amazonaws.com/1/q",
    env="dev",
    data_bucket="data",
)


def stream(event: str = "MODIFY", **changed: Any) -> dict[str, Any]:
    """A DynamoDB Streams record; `changed` replaces parts of `dynamodb`, and None removes one."""
    body = {
        "ApproximateCreationDateTime": 1428537600,
        "Keys": KEYS,
        "NewImage": NEW,
        "OldImage": OLD,
        "SequenceNumber": "4421584500000000017450439091",
        "SizeBytes": 59,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    body = {name: value for name, value in {**body, **changed}.items() if value is not None}
    return {
        "eventID": "c4ca4238a0b923820dcc509a6f75849b",
        "eventName": event,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": body,
        "eventSourceARN": ARN,
    }


def kinesis(
    event: str = "INSERT", precision: str | None = "MICROSECOND", moment: int = 1700000000123456
) -> dict[str, Any]:
    """A record of Kinesis Data Streams for DynamoDB: no sequence number, but a table name."""
    body: dict[str, Any] = {"ApproximateCreationDateTime": moment, "Keys": KEYS, "NewImage": NEW, "SizeBytes": 59}
    if precision:
        body["ApproximateCreationDateTimePrecision"] = precision
    return {
        "awsRegion": "us-east-1",
        "eventID": "0f5b8e4a-1c3d-4a6e-9a64-3f8f8f1f1f1f",
        "eventName": event,
        "userIdentity": None,
        "recordFormat": "application/json",
        "tableName": "orders",
        "dynamodb": body,
        "eventSource": "aws:dynamodb",
    }


def export(new: bool = True, old: bool = True, written: Any = None) -> dict[str, Any]:
    """A record of an incremental export."""
    record: dict[str, Any] = {
        "Metadata": {"WriteTimestampMicros": {"N": "1680109764000000"} if written is None else written},
        "Keys": KEYS,
    }
    if new:
        record["NewImage"] = NEW
    if old:
        record["OldImage"] = OLD
    return record


def line(record: Any) -> bytes:
    """The record as a line."""
    return json.dumps(record).encode()
