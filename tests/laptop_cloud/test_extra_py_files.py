"""A job run imports from the zips of its own --extra-py-files, in the driver and in the Python workers."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from laptop_cloud.aws.spark_driver import Drivers
from laptop_cloud.cloud import LaptopCloud
from tests.harness.waiting import eventually

from .conftest import FIXTURES

pytestmark = pytest.mark.spark
ROOT = Path(__file__).parents[2]
BUCKET = "code"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, drivers: Drivers) -> Iterator[LaptopCloud]:
    with LaptopCloud(FIXTURES / "template.yaml", workdir=tmp_path_factory.mktemp("zips"), drivers=drivers) as up:
        s3 = up.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="job.py", Body=(FIXTURES / "jobs" / "zipped.py").read_bytes())
        up.client("glue").create_job(
            Name="zipped",
            Role="JobRole",
            Command={"Name": "glueetl", "ScriptLocation": f"s3://{BUCKET}/job.py"},
            DefaultArguments={"--queue_url": up.outputs["QueueUrl"], "--mode": "continue"},
        )
        yield up


def lessons(text: str) -> bytes:
    """Return a zip with a package `lessons` that contains the text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("lessons/__init__.py", f"TEXT = {text!r}\n")
        archive.writestr("lessons/deep.py", f"def lesson():\n    return 'deep {text}'\n")
    return buffer.getvalue()


def put(cloud: LaptopCloud, key: str, body: bytes) -> str:
    cloud.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)
    return f"s3://{BUCKET}/{key}"


def run(cloud: LaptopCloud, *locations: str, mode: str = "continue") -> dict[str, Any]:
    arguments = {"--mode": mode}
    if locations:
        arguments["--extra-py-files"] = ",".join(locations)
    glue = cloud.client("glue")
    run_id = glue.start_job_run(JobName="zipped", Arguments=arguments)["JobRunId"]

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = glue.get_job_run(JobName="zipped", RunId=run_id)["JobRun"]
        return found if found["JobRunState"] in {"SUCCEEDED", "FAILED"} else None

    return eventually(look, f"the end of {run_id}") or {}


def reported(cloud: LaptopCloud) -> dict[str, Any]:
    (message,) = cloud.client("sqs").receive_message(QueueUrl=cloud.outputs["QueueUrl"])["Messages"]
    cloud.client("sqs").delete_message(QueueUrl=cloud.outputs["QueueUrl"], ReceiptHandle=message["ReceiptHandle"])
    body: dict[str, Any] = json.loads(message["Body"])
    return body


def seen(cloud: LaptopCloud, *locations: str, mode: str = "continue") -> set[str]:
    """Return the texts that the job imported in the driver, an RDD and a UDF, without duplicates."""
    run(cloud, *locations, mode=mode)
    body = reported(cloud)
    return {body["driver"], body["rdd"], body["udf"]}


MISSING = "No module named 'lessons'"


def test_each_run_in_a_warm_driver_imports_from_its_own_zip(cloud: LaptopCloud) -> None:
    one = put(cloud, "lessons.zip", lessons("one"))
    assert run(cloud, one)["JobRunState"] == "SUCCEEDED"
    assert reported(cloud)["udf"] == "one, deep one"
    drivers = cloud.processes()
    # The new zip has the same key, as after a deployment.
    two = put(cloud, "lessons.zip", lessons("two"))
    assert seen(cloud, two) == {"two, deep two"}
    assert seen(cloud) == {MISSING}
    other = put(cloud, "other.zip", lessons("one"))
    assert seen(cloud, other) == {"one, deep one"}
    assert cloud.processes() == drivers


def test_the_modules_of_a_failed_run_are_not_visible_to_the_next(cloud: LaptopCloud) -> None:
    location = put(cloud, "lessons.zip", lessons("failing"))
    assert seen(cloud, location, mode="fail") == {"failing, deep failing"}
    assert seen(cloud) == {MISSING}


def test_the_first_file_has_precedence(cloud: LaptopCloud) -> None:
    first, second = put(cloud, "first.zip", lessons("first")), put(cloud, "second.zip", lessons("second"))
    assert seen(cloud, first, second) == {"first, deep first"}
    assert seen(cloud, second, first) == {"second, deep second"}


def test_neither_this_repository_nor_the_working_directory_is_on_the_path_of_a_job(cloud: LaptopCloud) -> None:
    run(cloud, put(cloud, "lessons.zip", lessons("one")))
    paths = {Path(path).resolve() for path in reported(cloud)["paths"]}
    existing = {path for path in paths if path.exists() and not path.is_relative_to(sys.prefix)}  # Spark adds others
    assert {path for path in existing if path.is_relative_to(ROOT)} <= {ROOT / "laptop_cloud/aws/glue_packages"}
    assert Path.cwd() not in paths


def test_a_missing_zip_fails_the_run(cloud: LaptopCloud) -> None:
    found = run(cloud, f"s3://{BUCKET}/nope.zip")
    assert found["JobRunState"] == "FAILED"
    assert "NoSuchKey" in found["ErrorMessage"]


@pytest.mark.parametrize("location", ["dist/lessons.zip", f"s3://{BUCKET}/folder/", f"s3://{BUCKET}/module.py"])
def test_a_location_that_is_not_a_zip_on_s3_fails_the_run_and_is_named(cloud: LaptopCloud, location: str) -> None:
    found = run(cloud, location)
    assert found["JobRunState"] == "FAILED"
    assert f"--extra-py-files names {location}" in found["ErrorMessage"]
