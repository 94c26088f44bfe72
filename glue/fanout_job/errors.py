"""Errors of a job. Each names its object and line, if there is one, and never contains a row's content."""

from __future__ import annotations

import inspect
import logging
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from contract.failure import NEXT_ON_GLUE, ExplainedError

log = logging.getLogger("fanout_job")

NEXT_RUN = "Nothing to do: the next run makes a new plan and sends the same ids."
CORRECT_INPUT = "Correct the object, or set OnBadRecord=quarantine and run the provider again."
STANDARD_LIBRARY = sys.stdlib_module_names - {"__main__"}
_IN_WORKER = re.compile(r'File "([\w./-]+\.py)", line (\d+)')
"""Lines of the traceback of a Spark worker, which Spark adds to the text of the driver's error."""
_LIBRARY = re.compile(r"site-packages|dist-packages|pyspark|fanout_job|/lib/python")
CORRECT_JOB = "Correct the job's script and deploy again. The run's log shows the line of the error."


class JobError(ExplainedError):
    """The job failed."""


class TransientError(JobError):
    """The next run may succeed without any change."""

    transient = True
    advice = NEXT_RUN


class SettingsError(JobError):
    """An argument is missing or wrong."""

    advice = "Correct the job's arguments in template.yaml and deploy again."


class MappingError(JobError):
    """The provider's mapping is missing or wrong."""

    advice = "Correct the mapping, try it with `fanout mapping check`, and upload it with `fanout mapping put`."


class ManifestError(JobError):
    """The manifest is invalid."""

    advice = "Run the provider again. Each run gets a new manifest."


class BadInputError(JobError):
    """Input that remains bad when it is read again. OnBadRecord decides how it is handled."""

    advice = CORRECT_INPUT


class CorruptObjectError(BadInputError):
    """The object's bytes are not in the expected format."""


class UnreadableObjectError(BadInputError):
    """S3 does not return the object, and will not until its storage class, key or permissions are changed."""

    advice = (
        "Let the job's role read the object (s3:GetObject, kms:Decrypt, bucket policy, owner, requester pays). The "
        "next run reads it. If it was quarantined, send it with `fanout replay`."
    )


class RecordError(BadInputError):
    """The line is not a valid record."""


class LineTooLongError(RecordError):
    """The line is longer than MAX_LINE_BYTES."""


class RowError(RecordError):
    """The row does not fit the mapping or the model."""

    advice = "Correct the row or the provider's mapping, or set OnBadRecord=quarantine and run the provider again."
    unit = "row"

    def __init__(self, message: str, *, sources: tuple[str, ...] = (), tried: str = "", **more: Any) -> None:
        super().__init__(message, **more)
        self.sources, self.tried = sources, tried
        """The source fields of the bad value, and how their texts were read, for `fanout mapping check`."""
        self.values: dict[str, str | None] = {}
        """The texts of these source fields. Only `fanout mapping check` sets them, because logs must not have them."""


class CheckFailedError(RowError):
    """The object fails a check of the mapping. None of its rows is written."""

    advice = "Ask the provider for a correct object, or change the check in the provider's mapping."


class TransformError(RecordError):
    """The user's transform failed on this row."""

    advice = CORRECT_JOB


class MessageTooLargeError(RecordError):
    """The message exceeds the target's limit even without its data."""

    advice = "Send less outside of data, or set OnBadRecord=quarantine and run the provider again."


class ObjectChangedError(TransientError):
    """The object was overwritten or deleted after the run was planned."""


class StorageError(TransientError):
    """S3 did not respond, or rejected the request."""

    advice = "The next run tries again. If the error persists, check the permissions of the job's role for this object."


class SendError(TransientError):
    """The target did not accept a message within the allowed attempts or time."""


class CredentialsError(TransientError):
    """No AWS credentials were found for signing requests."""

    advice = "The next run asks for credentials again."


class SendRefusedError(JobError):
    """The target rejected a message or a request permanently."""

    advice = "Check the target and the permissions of the job's role for it."


class DeadlineError(TransientError):
    """The run's Lambda function has no time left."""

    advice = NEXT_ON_GLUE


class FrameEtlError(JobError):
    """`etl` is native PySpark, which a Lambda function cannot execute."""

    advice = "Set LambdaMaxBytes=0, so that every run uses Glue."


class UnexpectedError(JobError):
    """An error that the job does not expect: a defect."""

    advice = CORRECT_JOB


class RunFailedError(JobError):
    """One or more tasks of the run failed."""


def unexpected(error: Exception, code: object = None) -> UnexpectedError:
    """Log the traceback of a defect, and return a typed error without the original text, which may contain a row.

    Parameters
    ----------
    error
    code
        The user's function that was called, or whose result was used.
    """
    log.error("unexpected %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return UnexpectedError(f"{type(error).__name__} at {place_of(error, code)}")


def place_of(error: BaseException, code: object = None) -> str:
    """Return the file and line at which an error was raised and, if that is in a library, the user's file and line.

    Parameters
    ----------
    error
    code
        The user's function whose result raised the error. It is named if the user's code did not raise it.
    """
    if in_worker := [
        (file, int(line)) for file, line in _IN_WORKER.findall(text_of(error)) if not _LIBRARY.search(file)
    ]:
        return f"{type(error).__module__.partition('.')[0]}, from {_shown(*in_worker[-1])}"
    frames = [
        (frame.f_code.co_filename, line, frame.f_globals) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [_shown(file, line) for file, line, names in frames if _is_users(file, names)]
    raised = _shown(*frames[-1][:2]) if frames else "an unknown place"
    if own:
        return raised if _is_users(frames[-1][0], frames[-1][2]) else f"{raised}, from {own[-1]}"
    made_by = getattr(inspect.unwrap(code) if callable(code) else code, "__code__", None)
    return _shown(made_by.co_filename, made_by.co_firstlineno) if made_by else raised


def text_of(error: BaseException) -> str:
    """An exception's text; empty if the user's exception has none, because its `__str__` fails."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the user's code may raise anything
        return ""


def _shown(file: str, line: int) -> str:
    return f"{Path(file).name}:{line}"


def _is_users(file: str, names: dict[str, Any]) -> bool:
    """Whether code is a job's script or a module beside it: neither in a package, nor installed, nor Python's own."""
    name = str(names.get("__name__"))
    installed = any(part in file for part in ("site-packages", "dist-packages"))
    return not names.get("__package__") and not file.startswith("<") and not installed and name not in STANDARD_LIBRARY
