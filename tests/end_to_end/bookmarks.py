"""A change log on the laptop cloud whose objects have a chosen age, for the tests of Glue's bookmark."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from demo.sample_data import DEFAULT_START, STYLES, Part, Shape, View, change_log
from demo.verify import Messages, compare, drain, expected_ids
from laptop_cloud.cloud import LaptopCloud
from tests.end_to_end.conftest import ConfigApi
from tests.harness.waiting import HANG_SECONDS

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
STYLE = next(style for style in STYLES if style.shape is Shape.STREAMS and style.view is View.KEYS_ONLY)


class Account:
    """A laptop cloud's change log, providers and queues."""

    def __init__(self, cloud: LaptopCloud) -> None:
        self.cloud = cloud
        self.directory = cloud.outputs["ChangeLogDir"]
        self.bucket, _, self.prefix = self.directory.removeprefix("s3://").partition("/")
        self.messages: dict[str, Messages] = {}

    def put(self, part: Part, age: timedelta = timedelta()) -> None:
        """Put an object whose LastModified is `age` ago."""
        key = f"{self.prefix}/{part.key}"
        self.cloud.client("s3").put_object(Bucket=self.bucket, Key=key, Body=part.body)
        if age:
            stored = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(self.bucket, key)
            stored.last_modified = stored.last_modified - age

    def register(self, *providers: str) -> None:
        for provider in providers:
            ConfigApi(self.cloud).call("PUT", f"/{provider}", {"frequency": "15"})

    def tick(self, at: datetime) -> tuple[list[str], Counter[str]]:
        """Tick; return the started providers, and provider -> number of messages."""
        before = Counter({name: found.total() for name, found in self.messages.items()})
        started = self.cloud.tick(at)["started_providers"]
        for execution in self.cloud.wait(HANG_SECONDS):
            assert execution["status"] == "SUCCEEDED", execution
        self.receive()
        return started, Counter({name: found.total() for name, found in self.messages.items()}) - before

    def receive(self) -> None:
        drain(self.cloud.client("sqs"), self.cloud.outputs["ChangesQueueUrl"], self.messages)

    def assert_exactly_one_message_a_row(self) -> None:
        compared = compare(expected_ids(self.cloud.client("s3"), self.bucket, self.prefix), self.messages)
        assert {name: found for name, found in compared.items() if not found.ok} == {}


def log(provider: str, rows: int, day: int = 0) -> Part:
    (part,) = change_log(provider, rows, 1, STYLE, start=DEFAULT_START + timedelta(days=day))
    return part
