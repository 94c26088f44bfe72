"""Publishes the job: puts its script, and `fanout_job/` with `contract/` as a zip, where Glue reads them.

`sam package` uploads for a Glue job one script of a fixed name, but which one a stack runs is a parameter. This
function is the custom resource that brings script and library: its own code is this folder, so what it publishes is
what was deployed. The job gets the script's URI as ScriptLocation and the zip's as `--extra-py-files`.

Both are named by the hash of their contents and none is ever removed, so a rollback finds those before.
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
"""CloudFormation takes an answer of at most 4,096 bytes."""


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request of CloudFormation, whatever happens. Without an answer it would wait until its time-out.

    Parameters
    ----------
    event
        ``{"RequestType": "Create" | "Update" | "Delete", "ResponseURL", "StackId", "RequestId",
        "LogicalResourceId", "PhysicalResourceId"?, "ResourceProperties": {"Bucket", "Prefix", "Job"}}``.

    Returns
    -------
    The answer that CloudFormation got.
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
    """Return the jobs' scripts: they use the library. Other modules that lie beside them in a built package do not."""
    found = {path for path in SCRIPTS.glob("*.py") if path != Path(__file__)}
    return {path for path in found if PACKAGE.name in path.read_text(encoding="utf-8")}


def script_of(job: str) -> bytes:
    """Return the source of a job's script.

    Raises
    ------
    FileNotFoundError
        There is no such job; names those that there are.
    """
    script = SCRIPTS / f"{job}.py"
    if script not in scripts():
        jobs = sorted(path.stem for path in scripts())
        raise FileNotFoundError(f"there is no glue/{job}.py; Job may be {', '.join(jobs)}")
    return script.read_bytes()


def publish(s3: Any, bucket: str, prefix: str, name: str, body: bytes) -> str:
    """Put a file into the bucket, unless it is there, and return its URI: the name, with a hash of the contents."""
    stem, _, suffix = name.rpartition(".")
    key = f"{prefix.rstrip('/')}/{stem}-{hashlib.sha256(body).hexdigest()[:16]}.{suffix}"
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":  # it is there already
            raise
    return f"s3://{bucket}/{key}"


def zipped(*packages: Path) -> bytes:
    """Return a zip of packages' sources: the same bytes for the same sources, wherever and whenever it is made."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for package in packages:
            for source in sorted(package.rglob("*.py")):
                entry = zipfile.ZipInfo(source.relative_to(package.parent).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, source.read_bytes())
    return buffer.getvalue()


def send(url: str, answer: dict[str, Any]) -> None:
    """Put the answer where CloudFormation waits for it, with a few tries."""
    body = json.dumps(answer).encode()
    for attempt in range(ANSWER_TRIES):
        # The address is signed without a content type, so none may be sent.
        request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")  # noqa: S310 - CloudFormation's
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS):  # noqa: S310 - likewise
                return
        except OSError as error:
            log.warning("CloudFormation did not take the answer (%s)", type(error).__name__)
            if attempt == ANSWER_TRIES - 1:
                raise
            time.sleep(2**attempt)
