"""Errors of a job: each names the object and line concerned, where there is one, and never shows a row's content."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from contract.failure import ExplainedError

log = logging.getLogger("fanout_job")

NEXT_RUN = "Nothing to do: the next run plans anew and sends the same ids."
CORRECT_INPUT = "Correct the object, or set OnBadRecord=quarantine and run the provider again."
CORRECT_JOB = "Correct the job's script and deploy again; the run's log says where the error is."


class JobError(ExplainedError):
    """The job failed."""


class TransientError(JobError):
    """The next run may succeed although nothing was changed."""

    transient = True
    advice = NEXT_RUN


class SettingsError(JobError):
    """An argument is missing or wrong."""

    advice = "Correct the job's arguments in template.yaml and deploy again."


class MappingError(JobError):
    """The provider's mapping is missing or wrong."""

    advice = "Correct the mapping, try it with `fanout mapping check`, and upload it with `fanout mapping put`."


class ManifestError(JobError):
    """The manifest cannot be read as one."""

    advice = "Run the provider again: its next run gets a manifest of its own."


class BadInputError(JobError):
    """Input that stays bad however often it is read; OnBadRecord decides what happens to it."""

    advice = CORRECT_INPUT


class CorruptObjectError(BadInputError):
    """The object's bytes are not what they claim to be."""


class RecordError(BadInputError):
    """The line is not a record that the job can read."""


class LineTooLongError(RecordError):
    """The line is longer than MAX_LINE_BYTES."""


class RowError(RecordError):
    """The row does not fit the mapping or the model."""

    advice = "Correct the row or the provider's mapping, or set OnBadRecord=quarantine and run the provider again."
    unit = "row"


class TransformError(RecordError):
    """The user's transform failed on this row."""

    advice = CORRECT_JOB


class MessageTooLargeError(RecordError):
    """The message exceeds the target's limit even with its data left out."""

    advice = "Raise the queue's MaximumMessageSize, or set OnBadRecord=quarantine and run the provider again."


class ObjectChangedError(TransientError):
    """The object was overwritten or deleted after the run was planned."""

    advice = NEXT_RUN


class StorageError(TransientError):
    """S3 did not answer, or refused."""

    advice = "The next run tries again. If it persists, check the permissions of the job's role for this object."


class SendError(TransientError):
    """The target did not take a message within the tries and the time allowed."""

    advice = NEXT_RUN


class CredentialsError(TransientError):
    """There were no AWS credentials to sign requests with."""

    advice = "The next run asks for credentials again."


class SendRefusedError(JobError):
    """The target refused a message or a request, and would again."""

    advice = "Check the target, and the permissions of the job's role for it."


class DeadlineError(TransientError):
    """The run's Lambda function has no time left."""

    advice = "Lower LambdaMaxBytes, so that Glue takes runs of this size."


class FrameEtlError(JobError):
    """`etl` is native PySpark, which a Lambda function cannot execute."""

    advice = "Set LambdaMaxBytes=0, so that every run goes to Glue."


class UnexpectedError(JobError):
    """A defect: an error that the job does not know."""

    advice = CORRECT_JOB


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
