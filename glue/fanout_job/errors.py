"""Errors of a job: each names the object and line concerned, where there is one, and never shows a row's content."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any, ClassVar

log = logging.getLogger("fanout_job")

Failure = dict[str, Any]
"""An error as a value: type, message, object and line."""


class JobError(Exception):
    """The job failed."""

    transient: ClassVar[bool] = False
    unit = "line"
    """What `line` counts: lines, or rows that may have several."""

    def __init__(self, message: str | None = None, *, uri: str | None = None, line: int | None = None) -> None:
        super().__init__(message or type(self).__doc__)
        self.uri = uri
        self.line = line

    def __str__(self) -> str:
        where = [part for part in (self.uri, f"{self.unit} {self.line}" if self.line else None) if part]
        return ", ".join(where) + ": " + str(self.args[0]) if where else str(self.args[0])

    def as_value(self) -> Failure:
        """Return the error as plain data, which is how a Spark task hands it to the driver."""
        return {"type": type(self).__name__, "message": str(self), "object": self.uri, "line": self.line}


class TransientError(JobError):
    """The next run may succeed although nobody changes anything."""

    transient = True


class SettingsError(JobError):
    """An argument is missing or wrong."""


class MappingError(JobError):
    """The provider's mapping is missing or wrong."""


class ManifestError(JobError):
    """The manifest cannot be read as one."""


class BadInputError(JobError):
    """Input that stays bad however often it is read; OnBadRecord decides what happens to it."""


class CorruptObjectError(BadInputError):
    """The object's bytes are not what they claim to be."""


class RecordError(BadInputError):
    """The line is not a record that the job can read."""


class LineTooLongError(RecordError):
    """The line is longer than MAX_LINE_BYTES."""


class RowError(RecordError):
    """The row does not fit the mapping or the model."""

    unit = "row"


class TransformError(RecordError):
    """The user's transform failed on this row."""


class MessageTooLargeError(RecordError):
    """The message exceeds the target's limit even with its data left out."""


class ObjectChangedError(TransientError):
    """The object was overwritten or deleted after the run was planned. The next run plans anew."""


class StorageError(TransientError):
    """S3 did not answer, or refused."""


class SendError(TransientError):
    """The target did not take a message within the tries and the time allowed. The next run sends the same
    ids again.
    """


class CredentialsError(TransientError):
    """There were no AWS credentials to sign requests with. The next run asks for them again."""


class SendRefusedError(JobError):
    """The target refused a message or a request, and would again."""


class DeadlineError(TransientError):
    """The Lambda run's Lambda has no time left. Lower LambdaMaxBytes, so that Glue takes runs of this size."""


class FrameEtlError(JobError):
    """`etl` is native PySpark, which the Lambda run cannot execute. Set the parameter LambdaMaxBytes=0."""


class UnexpectedError(JobError):
    """A defect: an error that the job does not know."""


class RunFailedError(JobError):
    """What the run ends with when one or more of its tasks failed."""


def unexpected(error: Exception) -> UnexpectedError:
    """Log where a defect is, and return it as a typed error, without its own text, which may hold a row."""
    log.error("unexpected %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return UnexpectedError(f"{type(error).__name__} at {place_of(error)}")


def place_of(error: BaseException) -> str:
    """Return file and line where an error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
