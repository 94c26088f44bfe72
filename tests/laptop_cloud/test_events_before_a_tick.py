"""`deliver_events` delivers events without waiting for batching windows."""

from __future__ import annotations

import json
from pathlib import Path

from laptop_cloud.cloud import LaptopCloud

from .conftest import FIXTURES


def test_a_batching_window_of_minutes_is_ended_early(tmp_path: Path) -> None:
    template = FIXTURES / "event_sources" / "template.yaml"
    with LaptopCloud(template, {"Window": 300}, workdir=tmp_path) as cloud:
        s3, sqs = cloud.client("s3"), cloud.client("sqs")
        for number in range(25):
            s3.put_object(Bucket=cloud.physical_id("Bucket"), Key=f"in/{number}", Body=b"x")
        cloud.deliver_events()
        keys: set[str] = set()
        while messages := sqs.receive_message(QueueUrl=cloud.physical_id("Taken"), MaxNumberOfMessages=10).get(
            "Messages"
        ):
            records = [record for message in messages for record in json.loads(message["Body"])]
            events = [event for record in records for event in json.loads(record["body"]).get("Records", [])]
            keys |= {event["s3"]["object"]["key"] for event in events}
        assert len(keys) == 25
