"""The check of an upload by `sam package` finds every fault of the bucket."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import boto3
import pytest

from tools import check_package
from tools.check_package import BUCKET, PackageError, check

SOURCE = {
    "Globals": {"Function": {"CodeUri": "functions/"}},
    "Resources": {
        "Job": {"Type": "AWS::Glue::Job", "Properties": {"Command": {"ScriptLocation": "glue/job.py"}}},
        "Handler": {"Type": "AWS::Serverless::Function", "Properties": {"Handler": "work.handler"}},
        "Machine": {"Type": "AWS::Serverless::StateMachine", "Properties": {"DefinitionUri": "machine.json"}},
    },
}


@pytest.fixture
def s3() -> Any:
    from moto import mock_aws

    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {"glue/job.py": "job", "functions/work.py": "work", "machine.json": "{}"}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def upload(s3: Any, **changed: bytes) -> dict[str, Any]:
    """Put a package into the bucket; `changed` replaces the bytes of one part."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as parts:
        parts.writestr("work.py", changed.get("work", b"work"))
    bodies = {
        "job": changed.get("job", b"job"),
        "archive": archive.getvalue(),
        "machine": changed.get("machine", b"{}"),
    }
    for key, body in bodies.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    job = {"Command": {"ScriptLocation": f"s3://{BUCKET}/job"}}
    return {
        "Resources": {
            "Job": {"Type": "AWS::Glue::Job", "Properties": job},
            "Handler": {
                "Type": "AWS::Serverless::Function",
                "Properties": {"CodeUri": f"s3://{BUCKET}/archive"},
            },
            "Machine": {
                "Type": "AWS::Serverless::StateMachine",
                "Properties": {"DefinitionUri": {"Bucket": BUCKET, "Key": "machine"}},
            },
        }
    }


def test_every_part_of_a_correct_package_is_reported(s3: Any, root: Path) -> None:
    lines = list(check(s3, upload(s3), SOURCE, root))

    assert lines == ["Job: glue/job.py", "Handler: work.py among 1 files, 0.0 MB unpacked", "Machine: machine.json"]


@pytest.mark.parametrize(("part", "resource"), [("job", "Job"), ("work", "Handler"), ("machine", "Machine")])
def test_other_bytes_in_the_bucket_are_found(s3: Any, root: Path, part: str, resource: str) -> None:
    packaged = upload(s3, **{part: b"something else"})

    with pytest.raises(PackageError, match=f"{resource}: .* differs"):
        list(check(s3, packaged, SOURCE, root))


def test_a_package_that_lambda_would_reject_is_found(s3: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_package, "MOST_UNPACKED_BYTES", 3)

    with pytest.raises(PackageError, match="Handler has 4 bytes unpacked; Lambda accepts 3"):
        list(check(s3, upload(s3), SOURCE, root))


def test_a_path_that_was_not_uploaded_is_found(s3: Any, root: Path) -> None:
    packaged = upload(s3)
    packaged["Resources"]["Job"]["Properties"]["Command"]["ScriptLocation"] = "glue/job.py"

    with pytest.raises(PackageError, match="Job still points to glue/job.py"):
        list(check(s3, packaged, SOURCE, root))


def test_a_script_in_another_bucket_is_found(s3: Any, root: Path) -> None:
    packaged = upload(s3)
    packaged["Resources"]["Job"]["Properties"]["Command"]["ScriptLocation"] = "s3://elsewhere/job"

    with pytest.raises(PackageError, match="elsewhere"):
        list(check(s3, packaged, SOURCE, root))
