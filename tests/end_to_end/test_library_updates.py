"""The jobs' library during stack updates: a new version, a rollback, a version that cannot be published."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from laptop_cloud.aws.spark_driver import Drivers
from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import ResourceError
from tests.harness.waiting import HANG_SECONDS
from tests.unit.job.records import line, stream

from .conftest import ROOT, ConfigApi, template_copy

pytestmark = pytest.mark.slow
REFUSED = "  TooSmall: {Type: AWS::SQS::Queue, DependsOn: ChangeLogJob, Properties: {MaximumMessageSize: 1}}\n"
"""A resource that is created after the library and the job, and that SQS rejects."""
REPEATED = timedelta(minutes=15)


class Project:
    """A copy of the project with a library that tests change, deployed to a laptop cloud."""

    def __init__(self, folder: Path, overrides: dict[str, object], **settings: Any) -> None:
        self._template = template_copy(folder, ("ServiceTimeout: 120", "ServiceTimeout: 5"))
        self._as_it_is = self._template.read_text(encoding="utf-8")
        self._glue = folder / "glue"
        self._glue.unlink()
        self._copy_glue()
        self._ticks = 0
        self.cloud = LaptopCloud(self._template, overrides, workdir=folder / "work", **settings).start()

    def restore(self) -> None:
        """Undo every change of the files, and deploy."""
        shutil.rmtree(self._glue)
        self._copy_glue()
        self._template.write_text(self._as_it_is, encoding="utf-8")
        self.cloud.update()

    def _copy_glue(self) -> None:
        shutil.copytree(ROOT / "glue", self._glue, ignore=shutil.ignore_patterns("__pycache__"))

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that occurs once in a file of glue/."""
        path = self._glue / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def add_a_resource_that_is_refused(self) -> None:
        text = self._template.read_text(encoding="utf-8")
        self._template.write_text(text.replace("\nOutputs:", f"\n{REFUSED}\nOutputs:"), encoding="utf-8")

    def library(self) -> str:
        """The library that a job run gets."""
        job = self.cloud.client("glue").get_job(JobName=self.cloud.outputs["GlueJobName"])["Job"]
        return str(job["DefaultArguments"]["--extra-py-files"])

    def publishers_version(self) -> str:
        """The version of the publishing function that is in use."""
        name = self.cloud.physical_id("LibraryFunction")
        return str(self.cloud.client("lambda").get_alias(FunctionName=name, Name="live")["FunctionVersion"])

    def published(self) -> set[str]:
        """The libraries in the bucket."""
        bucket = self.cloud.outputs["DataBucketName"]
        found = self.cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix="library/")["Contents"]
        return {f"s3://{bucket}/{entry['Key']}" for entry in found}

    def sent(self) -> dict[str, Any]:
        """Run one new row; return its message."""
        self._ticks += 1
        bucket, _, prefix = self.cloud.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")
        row = line({**stream("INSERT"), "eventID": f"e{self._ticks}"})
        key = f"{prefix}/provider=acme/2026/11/22/07/part-{self._ticks}.json.gz"
        self.cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=gzip.compress(row))
        ConfigApi(self.cloud).call("PUT", "/acme", {"frequency": 15})
        self.cloud.tick(datetime.now(UTC) + self._ticks * REPEATED)
        last = self.cloud.wait(HANG_SECONDS)[-1]
        assert last["status"] == "SUCCEEDED", last
        sqs, queue = self.cloud.client("sqs"), self.cloud.outputs["ChangesQueueUrl"]
        (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return dict(json.loads(message["Body"]))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, drivers: Drivers) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"), {"LambdaMaxBytes": 0}, drivers=drivers)
    yield project
    project.cloud.stop()


@pytest.fixture
def project(deployed: Project) -> Iterator[Project]:
    """The project, deployed unchanged before and after each test."""
    yield deployed
    deployed.restore()


def test_an_update_without_a_change_publishes_and_changes_nothing(project: Project) -> None:
    before, version = (project.cloud.workdir / "cloud.json").read_text(), project.publishers_version()
    project.cloud.update()
    assert (project.cloud.workdir / "cloud.json").read_text() == before
    assert project.publishers_version() == version


@pytest.mark.fault(33)
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ('raise RuntimeError("no room")', "the job was not published: RuntimeError: no room"),
        ("import os; os._exit(3)", "the function .* failed without a response: Runtime.ExitError"),
        ("import time; time.sleep(600)", r"no response within 5 s \(ServiceTimeout\)"),
    ],
)
def test_if_publishing_fails_the_deployment_fails_with_the_reason_and_the_old_library_stays_in_use(
    project: Project, code: str, reason: str
) -> None:
    before, version, published = project.library(), project.publishers_version(), project.published()
    call = "            library = publish("
    project.edit("library.py", call, f"            {code}\n{call}")
    with pytest.raises(ResourceError, match=rf"JobLibrary .*{reason}.*rolled back"):
        project.cloud.update()
    assert project.library() == before
    assert project.publishers_version() == version
    assert project.published() == published


@pytest.mark.fault(33)
@pytest.mark.spark
def test_an_update_uses_the_new_library_and_a_rollback_the_old_one(
    project: Project,
) -> None:
    first, first_version = project.library(), project.publishers_version()
    assert project.sent()["type"] == "dynamodb.insert"

    project.edit("fanout_job/messages.py", 'f"dynamodb.{operation}"', 'f"second.{operation}"')
    project.cloud.update()
    second, second_version = project.library(), project.publishers_version()
    assert project.sent()["type"] == "second.insert"
    assert int(second_version) > int(first_version)

    project.edit("fanout_job/messages.py", 'f"second.{operation}"', 'f"third.{operation}"')
    project.add_a_resource_that_is_refused()
    with pytest.raises(ResourceError, match=r"TooSmall .* could not be made.*rolled back"):
        project.cloud.update()
    assert project.library() == second
    assert project.sent()["type"] == "second.insert"
    assert project.publishers_version() == second_version
    assert {first, second} < project.published()  # the third was published before the rollback, and no job uses it
