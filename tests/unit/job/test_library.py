"""The jobs' library is published deterministically, and CloudFormation always gets an answer."""

from __future__ import annotations

import ast
import io
import json
import os
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import boto3
import pytest

import library

REQUEST = {
    "RequestType": "Create",
    "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/s/1",
    "RequestId": "request",
    "LogicalResourceId": "JobLibrary",
    "ResourceProperties": {"Bucket": "data", "Prefix": "library/", "Job": "change_log"},
}


class CloudFormation:
    """Accepts answers after refusing the first ones, as many as configured."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.content_types: list[str | None] = []
        self.refusals = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.refusals -= 1
                if outer.refusals < 0:
                    outer.answers.append(json.loads(body))
                    outer.content_types.append(self.headers["Content-Type"])
                self.send_response(503 if outer.refusals >= 0 else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/answer"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    made = CloudFormation()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def s3() -> Iterator[Any]:
    from moto import mock_aws

    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        yield client


def package(folder: Path, source: str = "A = 1\n") -> Path:
    made = folder / "fanout_job"
    (made / "__pycache__").mkdir(parents=True)
    (made / "__init__.py").write_text("")
    (made / "a.py").write_text(source)
    (made / "__pycache__" / "a.pyc").write_bytes(b"compiled")
    return made


def test_the_zip_depends_only_on_the_sources(tmp_path: Path) -> None:
    first = package(tmp_path / "one")
    second = package(tmp_path / "two")
    os.utime(second / "a.py", (1, 1))
    assert library.zipped(first) == library.zipped(second) != library.zipped(package(tmp_path / "three", "A = 2\n"))
    files = zipfile.ZipFile(io.BytesIO(library.zipped(first))).infolist()
    assert [file.filename for file in files] == ["fanout_job/__init__.py", "fanout_job/a.py"]
    assert {file.external_attr >> 16 for file in files} == {0o644}, "readable after they are unpacked"


def test_the_zip_holds_every_module_of_the_library() -> None:
    packages = (library.PACKAGE, library.CONTRACT)
    names = zipfile.ZipFile(io.BytesIO(library.zipped(*packages))).namelist()
    assert names == [f"{one.name}/{path.name}" for one in packages for path in sorted(one.glob("*.py"))]
    assert {"fanout_job/run.py", "contract/result.py"} < set(names)


def test_publishing_needs_only_packages_that_lambda_has() -> None:
    """LibraryFunction is built without dependencies."""
    modules = {
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(Path(library.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    packages = {str(module).partition(".")[0] for module in modules}
    assert packages - sys.stdlib_module_names == {"boto3", "botocore", "contract"}


def test_it_is_published_under_its_hash_and_its_uri_is_returned(s3: Any, cloudformation: CloudFormation) -> None:
    library.handler({**REQUEST, "ResponseURL": cloudformation.url}, None)
    [answer] = cloudformation.answers
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["Uri"] == answer["PhysicalResourceId"]
    assert {name: answer[name] for name in ("StackId", "RequestId", "LogicalResourceId")} == {
        name: REQUEST[name] for name in ("StackId", "RequestId", "LogicalResourceId")
    }
    key = answer["Data"]["Uri"].removeprefix("s3://data/")
    assert s3.get_object(Bucket="data", Key=key)["Body"].read() == library.zipped(library.PACKAGE, library.CONTRACT)
    script = answer["Data"]["Script"].removeprefix("s3://data/")
    assert s3.get_object(Bucket="data", Key=script)["Body"].read() == (library.SCRIPTS / "change_log.py").read_bytes()
    assert cloudformation.content_types == [""], "the address is signed without a content type"


def test_another_job_is_another_script_with_the_same_library(s3: Any, cloudformation: CloudFormation) -> None:
    event = {**REQUEST, "ResponseURL": cloudformation.url}
    changed = {"Bucket": "data", "Prefix": "library/", "Job": "standardize"}
    other = {**event, "RequestType": "Update", "ResourceProperties": changed}
    data = [library.handler(one, None)["Data"] for one in (event, other)]
    assert data[0]["Uri"] == data[1]["Uri"]
    assert [one["Script"].rpartition("-")[0] for one in data] == [
        "s3://data/library/change_log",
        "s3://data/library/standardize",
    ]


@pytest.mark.parametrize("job", ["no_such_job", "library", "../local/cloud"])
def test_the_error_of_an_unknown_job_names_it(s3: Any, cloudformation: CloudFormation, job: str) -> None:
    properties = {"Bucket": "data", "Prefix": "library/", "Job": job}
    answer = library.handler({**REQUEST, "ResponseURL": cloudformation.url, "ResourceProperties": properties}, None)
    assert answer["Status"] == "FAILED"
    assert f"there is no glue/{job}.py; Job may be change_log, standardize" in answer["Reason"]
    assert s3.list_objects_v2(Bucket="data")["KeyCount"] == 0


def test_a_module_without_the_library_is_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("from fanout_job import run\n")
    (tmp_path / "six.py").write_text("import sys\n")
    monkeypatch.setattr(library, "SCRIPTS", tmp_path)

    with pytest.raises(FileNotFoundError, match=r"there is no glue/six\.py; Job may be mine$"):
        library.script_of("six")


def test_publishing_is_idempotent_and_a_new_version_keeps_the_old_one(
    s3: Any, cloudformation: CloudFormation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = {**REQUEST, "ResponseURL": cloudformation.url}
    old = library.handler(event, None)["PhysicalResourceId"]
    update = {**event, "RequestType": "Update", "PhysicalResourceId": old}
    assert library.handler(update, None)["PhysicalResourceId"] == old
    monkeypatch.setattr(library, "PACKAGE", package(tmp_path))
    assert library.handler(update, None)["PhysicalResourceId"] != old
    assert len(s3.list_objects_v2(Bucket="data", Prefix="library/fanout_job")["Contents"]) == 2


def test_a_deletion_succeeds_and_removes_nothing(s3: Any, cloudformation: CloudFormation) -> None:
    event = {**REQUEST, "ResponseURL": cloudformation.url}
    uri = library.handler(event, None)["PhysicalResourceId"]
    answer = library.handler({**event, "RequestType": "Delete", "PhysicalResourceId": uri}, None)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", uri)
    assert s3.list_objects_v2(Bucket="data")["KeyCount"] == 2


def test_a_deletion_publishes_nothing_and_so_needs_neither_bucket_nor_job(
    s3: Any, cloudformation: CloudFormation
) -> None:
    event = {**REQUEST, "ResponseURL": cloudformation.url, "RequestType": "Delete", "ResourceProperties": {}}

    answer = library.handler(event, None)

    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", "not-published")
    assert s3.list_objects_v2(Bucket="data")["KeyCount"] == 0


def test_a_long_reason_is_cut_so_that_cloudformation_accepts_the_answer(
    s3: Any, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> bytes:
        raise ValueError("x" * 10_000)

    monkeypatch.setattr(library, "script_of", broken)

    answer = library.handler({**REQUEST, "ResponseURL": cloudformation.url}, None)

    assert answer["Reason"].startswith("the job was not published: ValueError: xxx")
    assert (len(answer["Reason"]), len(json.dumps(answer)) < 4096) == (1000, True)


@pytest.mark.parametrize(
    "properties",
    [{"Bucket": "no-such-bucket", "Prefix": "library/", "Job": "change_log"}, {"Job": "change_log"}, {}, None, "x"],
)
def test_any_fault_is_answered_with_its_reason_and_logged(
    s3: Any, cloudformation: CloudFormation, properties: Any, caplog: pytest.LogCaptureFixture
) -> None:
    library.handler({**REQUEST, "ResponseURL": cloudformation.url, "ResourceProperties": properties}, None)
    [answer] = cloudformation.answers
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("the job was not published: ")
    assert answer["PhysicalResourceId"]
    assert "Traceback" in caplog.text


def test_an_answer_that_is_not_accepted_is_sent_again(
    s3: Any, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library.time, "sleep", lambda seconds: None)
    cloudformation.refusals = 2
    library.handler({**REQUEST, "ResponseURL": cloudformation.url}, None)
    assert [answer["Status"] for answer in cloudformation.answers] == ["SUCCESS"]


def test_sending_gives_up_after_four_attempts(
    cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(library.time, "sleep", pauses.append)
    cloudformation.refusals = 10

    with pytest.raises(HTTPError):
        library.send(cloudformation.url, {"Status": "SUCCESS"})

    assert (cloudformation.refusals, pauses) == (6, [1, 2, 4])
    assert caplog.messages == ["CloudFormation did not accept the response (HTTPError)"] * 4
