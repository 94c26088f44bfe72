"""Runs the code of jobs on local files, without AWS and without Spark."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import boto3

from contract import document
from contract.failure import Failure
from contract.manifest import Manifest, PlannedObject, StoredObject
from contract.result import JobResult
from fanout_job.delivery import Delivery
from fanout_job.errors import BadInputError, JobError
from fanout_job.messages import Transform
from fanout_job.settings import Settings
from fanout_job.task import Source, guarded

from .jobs import BadInput, unreadable

BUCKET = "DATA-BUCKET"
"""Replaces the name of the bucket in a trial."""
RUN_DIR = "runs/try/"
EXAMPLE = "example"
"""The provider of files that are not in a folder provider=NAME/."""
ENVIRONMENT = {
    "ENV": "dev",
    "DATA_BUCKET": BUCKET,
    "QUEUE_URL": "https://sqs.invalid/queue",
    "ON_BAD_RECORD": "quarantine",  # so that the job reads on after a bad row
}


def messages(transform: Transform, job: str, files: list[Path]) -> Iterator[dict[str, Any] | BadInput | int]:
    """Yield the messages that `transform` makes of files of a change log, and the errors.

    After 100 bad lines of a file, the job only counts: an int is the number of these.
    """
    for number, file in enumerate(files):
        values = {name.lower(): value for name, value in ENVIRONMENT.items()}
        settings = Settings.from_values({**values, **event(provider_of(file)), "job": job})
        with in_place_of_aws(LocalFiles(), job) as s3:
            trial = Trial(settings, transform)
        with guarded(trial):
            for message in trial.messages([LocalFile("", str(file), 0, "", number)]):
                s3.written.clear()  # a claim check
                yield json.loads(message.body, parse_float=exact)
        yield from map(BadInput.of, trial.bad)
        yield from map(BadInput, trial.tally.failures)
        yield trial.tally.quarantined - len(trial.bad)


def outputs(script: Any, job: str, files: list[Path]) -> Iterator[dict[str, Any] | BadInput | int]:
    """Run a whole job on the files of each provider. Yield what it writes, and the errors as `messages` does."""
    for provider, group in groupby(sorted(files, key=provider_of), provider_of):
        s3, now = LocalFiles(), datetime.now(UTC)
        objects = tuple(StoredObject(str(file), file.stat().st_size, "", now) for file in group)
        manifest = Manifest(
            provider=provider, run_id="try", generation=0, created_at=now, bucket=BUCKET, objects=objects
        )
        s3.put_object(Key=f"{RUN_DIR}manifest.json", Body=manifest.to_json())
        with in_place_of_aws(s3, job), suppress(JobError):
            script.handler(event(provider), Context())
        failures: list[Failure] = []
        for key, body in s3.written.items():
            if key == f"{RUN_DIR}result.json":
                result = JobResult.from_json(body)
                failures += result.failures
            elif key.endswith(".note.json") and key.startswith("quarantine/"):
                failures.append(document.read(Failure, json.loads(body)["failure"]))
            elif not key.startswith(("quarantine/", RUN_DIR)):
                yield {"key": key, "content": readable(body)}
        for one in failures:
            yield BadInput(replace(one, object=one.object and one.object.removeprefix(f"s3://{BUCKET}/")))
        yield result.failure_count + result.quarantined - len(failures)


def provider_of(file: Path) -> str:
    """Return the provider of a file in a folder provider=NAME/, or else an example."""
    found = re.search(r"provider=([^/]+)/", file.as_posix())
    return found[1] if found else EXAMPLE


def event(provider: str) -> dict[str, str]:
    """Return the event of a run."""
    folder = f"s3://{BUCKET}/{RUN_DIR}"
    return {"provider": provider, "run_id": "try", "manifest": f"{folder}manifest.json", "run_dir": folder}


class Context:
    """The Lambda context of a run that is not short of time."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the time until a Lambda function's limit."""
        return 900_000


class LocalFile(PlannedObject):
    """A file in place of an object: its key is its path, and so is its URI in errors."""

    __slots__ = ()

    @property
    def uri(self) -> str:
        """The path of the file."""
        return self.key


class LocalFiles:
    """A session of boto3, and its S3 client, in one: reads files, and keeps what the job writes."""

    def __init__(self) -> None:
        self.written: dict[str, bytes] = {}

    def client(self, service: str, **_: Any) -> LocalFiles:
        """Return itself.

        Raises
        ------
        JobError
            The service is not S3.
        """
        if service != "s3":
            raise JobError(f"the job uses {service}, which a trial on local files does not have")
        return self

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        """Open a file, or what the job wrote.

        Raises
        ------
        UnreadableObjectError
        """
        return {"Body": io.BytesIO(self.written[Key]) if Key in self.written else Body(Path(Key))}

    def put_object(self, *, Key: str, Body: Any, **_: Any) -> None:  # noqa: N803 - boto3's names
        """Keep what the job writes."""
        content = Body.read() if hasattr(Body, "read") else Body
        self.written[Key] = content.encode() if isinstance(content, str) else content

    def copy_object(self, **_: Any) -> None:
        """Copy nothing: a bad file stays where it is."""


@contextmanager
def in_place_of_aws(s3: LocalFiles, job: str) -> Iterator[LocalFiles]:
    """Let the job's client be `s3`, its environment that of a trial, and its log silent, inside the block."""
    log, variables, session = logging.getLogger("fanout_job"), dict(os.environ), boto3.DEFAULT_SESSION
    boto3.DEFAULT_SESSION, log.disabled = s3, True  # type: ignore[assignment]
    os.environ.update({**ENVIRONMENT, "JOB": job})
    try:
        yield s3
    finally:
        boto3.DEFAULT_SESSION, log.disabled = session, False
        os.environ.clear()
        os.environ.update(variables)


class Body:
    """The content of a file, as the content of an object."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = path.open("rb")
        except OSError as error:
            raise unreadable(path, error) from None

    def read(self, amount: int = -1) -> bytes:
        """Return the next bytes, empty at the end."""
        try:
            if not (piece := self.file.read(amount)):
                self.file.close()
            return piece
        except OSError as error:
            raise unreadable(self.path, error) from None


class Trial(Delivery):
    """Makes messages and sends none. Collects bad rows and objects, with the exceptions of the user's code."""

    def __init__(self, settings: Settings, transform: Transform) -> None:
        super().__init__(settings, transform)
        self.bad: list[JobError] = []

    def quarantine_object(self, source: Source, error: BadInputError) -> None:
        """Collect the error of an object, or of a row too many."""
        self.quarantine_note("", error)

    def quarantine_note(self, key: str, error: BadInputError) -> None:
        """Collect the error of a row or an object."""
        self.tally.quarantined += 1
        self.bad.append(error)


def exact(text: str) -> float | str:
    """Return a number as float, or as text if a float does not have all its digits."""
    number = float(text)
    return number if Decimal(repr(number)) == Decimal(text) else text


def readable(body: bytes) -> Any:
    """Return a document that the job wrote: parsed JSON, a text, or the size of anything else."""
    with suppress(ValueError):
        return json.loads(body, parse_float=exact)
    with suppress(ValueError):
        return body.decode()
    return f"{len(body):,} bytes"
