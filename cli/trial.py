"""Makes the messages of local files with the code of the change-log job, without AWS and without Spark."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from contract.manifest import NO_MANIFEST, PlannedObject
from fanout_job.delivery import Delivery
from fanout_job.errors import BadInputError, JobError, UnreadableObjectError
from fanout_job.messages import Transform
from fanout_job.settings import Settings
from fanout_job.task import Source, guarded

BUCKET = "DATA-BUCKET"
"""Replaces the name of the bucket in the messages of a trial."""
PROVIDER = "example"
"""The provider of files that are not in a folder provider=NAME/."""


class LocalFile(PlannedObject):
    """A file in place of an object: its key is its path, and so is its URI in errors."""

    __slots__ = ()

    @property
    def uri(self) -> str:
        """The path of the file."""
        return self.key


class LocalFiles:
    """The job's S3 client: reads files, and discards claim checks and copies of bad lines."""

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        """Open a file.

        Raises
        ------
        UnreadableObjectError
        """
        return {"Body": Body(Path(Key))}

    def put_object(self, **_: Any) -> None:
        """Write nothing."""


class Body:
    """The content of a file, as the content of an object."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = path.open("rb")
        except OSError as error:
            raise unreadable(path, error) from None

    def read(self, amount: int) -> bytes:
        """Return the next bytes, empty at the end."""
        try:
            if not (piece := self.file.read(amount)):
                self.file.close()
            return piece
        except OSError as error:
            raise unreadable(self.path, error) from None


def unreadable(path: Path, error: OSError) -> UnreadableObjectError:
    """Return the error for a file that cannot be read."""
    failed = UnreadableObjectError(f"cannot be read ({error.strerror})", uri=str(path))
    failed.advice = "Let your user read the file."
    return failed


class Trial(Delivery):
    """Makes messages and sends none. Reads on after a bad row, and collects what is bad.

    Parameters
    ----------
    transform
        The user's.
    job
        Name of the script.
    file
        The file to read. If it is in a folder provider=NAME/, the messages have that provider.
    """

    def __init__(self, transform: Transform, job: str, file: Path) -> None:
        provider = re.search(r"provider=([^/]+)/", file.as_posix())
        settings = Settings(
            provider=provider[1] if provider else PROVIDER,
            run_id="try",
            manifest=NO_MANIFEST,
            run_dir=f"s3://{BUCKET}/runs/try/",
            env="dev",
            data_bucket=BUCKET,
            queue_url="https://sqs.invalid/queue",
            job=job,
            on_bad_record="quarantine",
        )
        super().__init__(settings, transform, s3=LocalFiles())
        self.file = file
        self.bad: list[JobError] = []

    def quarantine_object(self, source: Source, error: BadInputError) -> None:
        """Collect the error of an object, or of a row too many."""
        self.quarantine_note("", error)

    def quarantine_note(self, key: str, error: BadInputError) -> None:
        """Collect the error of a row or an object."""
        self.tally.quarantined += 1
        self.bad.append(error)

    def trial_messages(self) -> Iterator[dict[str, Any]]:
        """Yield the messages of the file."""
        with guarded(self):
            for message in self.messages([LocalFile("", str(self.file), 0, "", 0)]):
                yield json.loads(message.body, parse_float=exact)


def exact(text: str) -> float | str:
    """Return a number as float, or as text if a float does not have all its digits."""
    number = float(text)
    return number if Decimal(repr(number)) == Decimal(text) else text
