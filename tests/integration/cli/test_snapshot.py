"""`fanout snapshot`: from the items of a table, through an export, to messages."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tests.harness.waiting import eventually
from tests.integration.cli.conftest import Fanout

BUCKET = "exports"


def ended(export: dict[str, Any]) -> dict[str, Any] | None:
    return None if export["ExportStatus"] == "IN_PROGRESS" else export


def export(fanout: Fanout, table: str, items: list[dict[str, Any]]) -> str:
    """Create a table with these items and export it: moto's data file, plus the manifests that DynamoDB would add."""
    dynamodb, s3 = fanout.cloud.client("dynamodb"), fanout.cloud.client("s3")
    key: Any = {"AttributeName": "pk"}
    arn = dynamodb.create_table(
        TableName=table,
        KeySchema=[key | {"KeyType": "HASH"}],
        AttributeDefinitions=[key | {"AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )["TableDescription"]["TableArn"]
    for item in items:
        dynamodb.put_item(TableName=table, Item=item)
    recovery = {"PointInTimeRecoveryEnabled": True}
    dynamodb.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification=recovery)
    s3.create_bucket(Bucket=BUCKET)
    made = dynamodb.export_table_to_point_in_time(TableArn=arn, S3Bucket=BUCKET, S3Prefix=table)["ExportDescription"]
    made = eventually(lambda: ended(dynamodb.describe_export(ExportArn=made["ExportArn"])["ExportDescription"]))
    [data] = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{table}/")["Contents"]]
    folder = data.rpartition("/data/")[0]
    summary = {
        "exportArn": made["ExportArn"],
        "tableArn": arn,
        "exportTime": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "s3Bucket": BUCKET,
        "manifestFilesS3Key": f"{folder}/manifest-files.json",
        "itemCount": len(items),
        "outputFormat": "DYNAMODB_JSON",
    }
    files = {"itemCount": len(items), "dataFileS3Key": data}
    s3.put_object(Bucket=BUCKET, Key=f"{folder}/manifest-files.json", Body=json.dumps(files).encode())
    s3.put_object(Bucket=BUCKET, Key=f"{folder}/manifest-summary.json", Body=json.dumps(summary).encode())
    return f"s3://{BUCKET}/{folder}/"


def test_the_items_of_a_table_become_messages_of_their_providers_once(fanout: Fanout) -> None:
    items: list[dict[str, Any]] = [
        {"pk": {"S": f"ORG#{tenant}#{n}"}, "n": {"N": "12345678901234567890123456789012345678"}}
        for tenant in ("snapone", "snaptwo")
        for n in range(3)
    ]
    folder = export(fanout, "orders", [*items, {"pk": {"S": "other"}}])
    for tenant in ("snapone", "snaptwo"):
        fanout("providers", "add", tenant)
    fanout.messages()

    said = fanout("snapshot", folder, "--provider-attribute", "pk ^ORG#([^#]+)#")
    again = fanout.json("snapshot", folder, "--provider-attribute", "pk ^ORG#([^#]+)#")

    assert (said.status, said.error) == (0, "")
    assert said.out.splitlines() == [
        "7 items of 2 providers; 1 without a provider",
        "3 objects written; 0 existed already",
    ]
    assert (again["written"], again["there"]) == (0, 3)
    for tenant in ("snapone", "snaptwo"):
        assert fanout("run", tenant).status == 0
        sent = fanout.messages()
        assert sorted(message["data"]["keys"]["pk"] for message in sent) == [f"ORG#{tenant}#{n}" for n in range(3)]
        assert {(m["type"], m["data"]["new"]["n"]) for m in sent} == {
            ("dynamodb.insert", 12345678901234567890123456789012345678)
        }


def test_a_folder_without_a_complete_export_is_rejected(fanout: Fanout) -> None:
    fanout.cloud.client("s3").create_bucket(Bucket="unfinished")
    said = fanout("snapshot", "s3://unfinished/AWSDynamoDB/1/", "--provider-attribute", "pk")
    assert said.status == 2
    assert "use the folder of a completed export" in said.error
