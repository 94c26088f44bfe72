"""`fanout` against the laptop cloud, in this process."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from demo.verify import drain
from laptop_cloud.cloud import LaptopCloud
from tests.harness.clouds import SharedCloud


@dataclass(frozen=True)
class Output:
    """The output and the exit status of a command."""

    status: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        """Parse the output of a command run with --json."""
        assert self.out, f"exit status {self.status}, and only this: {self.error}"
        return json.loads(self.out)


@dataclass(frozen=True)
class Fanout:
    """The command line of a laptop cloud."""

    cloud: LaptopCloud
    folder: Path

    def __call__(self, *arguments: str, stdin: str | None = None) -> Output:
        """Run a command with --local."""
        done = CliRunner().invoke(app, [*arguments, "--local"], input=stdin)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Output(done.exit_code, done.stdout, done.stderr)

    def json(self, *arguments: str) -> Any:
        """Run a command with --json and return its parsed output."""
        return self(*arguments, "--json").json

    def drop(self, provider: str, key: str, rows: int) -> None:
        """Write an object with some rows into a provider's change log."""
        lines = b"".join(json.dumps(change(f"{key}-{n}")).encode() + b"\n" for n in range(rows))
        self.drop_bytes(provider, key, gzip.compress(lines))

    def drop_bytes(self, provider: str, key: str, body: bytes) -> None:
        """Write any object into a provider's change log."""
        file = self.folder / "object"
        file.write_bytes(body)
        assert self("put", provider, str(file), "--as", key).status == 0

    def messages(self) -> list[dict[str, Any]]:
        """All messages in the queue; they are deleted."""
        return drain(self.cloud.client("sqs"), self.cloud.outputs["ChangesQueueUrl"], {})

    def ids(self) -> list[str]:
        """The ids of all messages in the queue; they are deleted."""
        return sorted(message["id"] for message in self.messages())

    def delete(self, prefix: str, but: str = "-") -> None:
        """Delete the objects with a prefix in the data bucket, except those with another one.

        All versions: moto lists the folders of objects that have only a delete marker.
        """
        s3, bucket = self.cloud.client("s3"), self.cloud.outputs["DataBucketName"]
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            for one in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
                if not one["Key"].startswith(but):
                    s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])


def change(identity: str) -> dict[str, Any]:
    """A DynamoDB stream record."""
    return {
        "eventID": identity,
        "eventName": "INSERT",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "Keys": {"id": {"S": identity}},
            "NewImage": {"id": {"S": identity}},
            "SequenceNumber": "1",
            "ApproximateCreationDateTime": 1795332600,
            "StreamViewType": "NEW_IMAGE",
        },
    }


@pytest.fixture(scope="module")
def cloud(shared_cloud: SharedCloud, tmp_path_factory: pytest.TempPathFactory) -> LaptopCloud:
    return shared_cloud.up(tmp_path_factory.mktemp("cloud"))


@pytest.fixture
def fanout(cloud: LaptopCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fanout]:
    """A command line. Providers that a test adds are removed after it."""
    monkeypatch.setenv("FANOUT_CLOUD_FILE", str(cloud.workdir / "cloud.json"))
    command = Fanout(cloud, tmp_path)
    yield command
    command("remove", "--all", "--yes")
    cloud.deliver_events()
    command("providers", "accept", "--yes")  # a removed provider with pending objects is unlisted


@pytest.fixture
def provider(fanout: Fanout, request: pytest.FixtureRequest) -> str:
    """A provider for one test, because ledger items and records stay from test to test."""
    name = f"p{abs(hash(request.node.name)) % 10**8}"
    fanout("providers", "add", name, "--frequency", "15")
    fanout.messages()
    return name
