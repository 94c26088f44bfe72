"""Publishes the job for Glue: uploads its script, and `fanout_job/` with `contract/` as a zip.

`sam package` uploads only a fixed script for a Glue job, but a parameter selects the script of a stack. So this
function is a custom resource that uploads script and library. Its own code is this folder, so it publishes the code
that was deployed. The job gets the script's URI as ScriptLocation and the zip's URI as `--extra-py-files`.

Both keys contain a hash of the contents and no file is ever deleted, so a rollback finds the earlier files.
See docs/decisions.md, D19. Source: "Custom resource request and response objects", CloudFormation user guide.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

import contract

log = logging.getLogger("library")

SCRIPTS = Path(__file__).parent
PACKAGE = SCRIPTS / "fanout_job"
CONTRACT = Path(contract.__file__).parent

ANSWER_TRIES = 4
ANSWER_SECONDS = 10
MAX_REASON_CHARACTERS = 1_000
"""CloudFormation accepts a response of at most 4,096 bytes."""


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle one request of CloudFormation. Always responds, because CloudFormation otherwise waits for its timeout.

    Parameters
    ----------
    event
        ``{"RequestType": "Create" | "Update" | "Delete", "ResponseURL", "StackId", "RequestId",
        "LogicalResourceId", "PhysicalResourceId"?, "ResourceProperties": {"Bucket", "Prefix", "Job"}}``.

    Returns
    -------
    The response sent to CloudFormation.
    """
    answer = {
        "Status": "SUCCESS",
        "PhysicalResourceId": event.get("PhysicalResourceId") or "not-published",
        **{name: event.get(name, "") for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    try:
        if event.get("RequestType") != "Delete":
            properties = event["ResourceProperties"]
            place = boto3.client("s3"), properties["Bucket"], properties["Prefix"]
            script = publish(*place, f"{properties['Job']}.py", script_of(properties["Job"]))
            library = publish(*place, f"{PACKAGE.name}.zip", zipped(PACKAGE, CONTRACT))
            answer |= {"PhysicalResourceId": library, "Data": {"Uri": library, "Script": script}}
    except Exception as error:
        log.exception("the job was not published")
        reason = f"the job was not published: {type(error).__name__}: {error}"
        answer |= {"Status": "FAILED", "Reason": reason[:MAX_REASON_CHARACTERS]}
    send(event["ResponseURL"], answer)
    return answer


def scripts() -> set[Path]:
    """Return the jobs' scripts: the modules that use the library. A built package has other modules next to them."""
    found = {path for path in SCRIPTS.glob("*.py") if path != Path(__file__)}
    return {path for path in found if PACKAGE.name in path.read_text(encoding="utf-8")}


def script_of(job: str) -> bytes:
    """Return the source of a job's script.

    Raises
    ------
    FileNotFoundError
        The job does not exist. The message names the jobs that do.
    """
    script = SCRIPTS / f"{job}.py"
    if script not in scripts():
        jobs = sorted(path.stem for path in scripts())
        raise FileNotFoundError(f"there is no glue/{job}.py; Job may be {', '.join(jobs)}")
    return script.read_bytes()


def publish(s3: Any, bucket: str, prefix: str, name: str, body: bytes) -> str:
    """Upload a file, unless it exists, and return its URI. Its key is the name with a hash of the contents."""
    stem, _, suffix = name.rpartition(".")
    key = f"{prefix.rstrip('/')}/{stem}-{hashlib.sha256(body).hexdigest()[:16]}.{suffix}"
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":  # it exists already
            raise
    return f"s3://{bucket}/{key}"


def zipped(*packages: Path) -> bytes:
    """Return a zip of packages' sources. The same sources always give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for package in packages:
            for source in sorted(package.rglob("*.py")):
                entry = zipfile.ZipInfo(source.relative_to(package.parent).as_posix())  # with a fixed time
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, source.read_bytes())
    return buffer.getvalue()


def send(url: str, answer: dict[str, Any]) -> None:
    """Send the response to CloudFormation, with retries."""
    body = json.dumps(answer).encode()
    for attempt in range(ANSWER_TRIES):
        # The URL is signed without a content type, so the request must not have one.
        request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")  # noqa: S310 - CloudFormation's
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS):  # noqa: S310 - likewise
                return
        except OSError as error:
            log.warning("CloudFormation did not accept the response (%s)", type(error).__name__)
            if attempt == ANSWER_TRIES - 1:
                raise
            time.sleep(2**attempt)
