"""Job bookmarks, as far as AWS documents them: pure rules, and the storage of the state.

Sources: Glue Developer Guide, "Tracking processed data using job bookmarks" (content of the state, versions, the time
range in which a listing may be incomplete) and "Using job bookmarks" (transformation_ctx); Glue API, S3JsonSource
(maxBand, maxFilesInBand) and JobBookmarkEntry.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import boto3
from botocore.exceptions import ClientError

MAX_BAND_MILLISECONDS = 900_000
"""Time before a listing in which the listing may be incomplete; files in this band are recorded by name."""

MAX_FILES_IN_BAND = 1000

SERVICE = "glue"
"""Principal of Glue's own calls: a job's role needs no permissions for its bookmark."""


class VersionMismatchException(Exception):  # noqa: N818 - AWS's name
    """Another run of the job has committed since this run began.

    On Glue, this is a Py4JJavaError that contains the Java exception of this name.
    """


@dataclass(frozen=True)
class Listed:
    """One object of a source: its s3:// URI and LastModified."""

    path: str
    modified: datetime


@dataclass(frozen=True)
class SourceState:
    """The state of one transformation_ctx.

    It consists of the time of the source's last listing, and path -> LastModified of the files read that had been
    modified within the band before that time.
    """

    listed_at: datetime
    band: Mapping[str, datetime]

    def as_json(self) -> dict[str, Any]:
        """Convert to plain data."""
        band = {path: modified.isoformat() for path, modified in sorted(self.band.items())}
        return {"listed_at": self.listed_at.isoformat(), "band": band}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SourceState:
        """Convert from the result of `as_json`."""
        band = {path: datetime.fromisoformat(modified) for path, modified in value["band"].items()}
        return cls(datetime.fromisoformat(value["listed_at"]), band)


def unread(
    listing: Iterable[Listed],
    state: SourceState | None,
    now: datetime,
    max_band: float = MAX_BAND_MILLISECONDS,
    max_files_in_band: int = MAX_FILES_IN_BAND,
) -> tuple[list[Listed], SourceState]:
    """Select the objects that are new according to a bookmark, by LastModified.

    An object modified before the band of the last listing counts as read, *whether it was or not*: a file that appears
    late with an older time is skipped, as is a file that another source with the same transformation_ctx did not list.

    Parameters
    ----------
    listing, now
        All objects of the source, and the time of the listing.
    state
        The bookmark's state for the transformation_ctx, or None.
    max_band, max_files_in_band
        Length of the band in milliseconds, and the maximum of its files to read; the next run reads the others.

    Returns
    -------
    (objects, state)
        The objects to read, the oldest first, and the state to store when the run commits.
    """
    new = sorted((o for o in listing if _is_new(o, state, max_band)), key=lambda o: (o.modified, o.path))
    settled = [o for o in new if _age(o.modified, now) >= max_band]
    in_band = [o for o in new if _age(o.modified, now) < max_band][:max_files_in_band]
    remembered = dict(state.band) if state else {}
    remembered.update((o.path, o.modified) for o in in_band)
    band = {path: modified for path, modified in remembered.items() if _age(modified, now) < max_band}
    return settled + in_band, SourceState(now, band)


def _is_new(listed: Listed, state: SourceState | None, max_band: float) -> bool:
    if state is None or listed.modified > state.listed_at:
        return True
    return _age(listed.modified, state.listed_at) < max_band and listed.path not in state.band


def _age(modified: datetime, now: datetime) -> float:
    return (now - modified).total_seconds() * 1000


@dataclass(frozen=True)
class Bookmark:
    """One version of a job's bookmark."""

    version: int = 0
    """Increases by one with each commit; 0 before the first."""
    sources: Mapping[str, SourceState] = field(default_factory=dict)
    """transformation_ctx -> its state."""
    run_id: str | None = None
    tag: str | None = None
    """The stored object's ETag."""


class BookmarkStore:
    """Stores one object per job in the bucket of the job's script: glue-bookmarks/{job name}.json.

    Its content has the form of the API's JobBookmarkEntry. AWS stores it inside Glue.
    """

    def __init__(self, s3: Any = None, glue: Any = None) -> None:
        _, _, key = os.environ.get("AWS_ACCESS_KEY_ID", "").rpartition(".")
        secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
        session = boto3.session.Session(aws_access_key_id=f"{SERVICE}.{key}", aws_secret_access_key=secret)
        self._s3 = s3 or session.client("s3")
        self._glue = glue or session.client("glue")

    def read(self, job_name: str) -> Bookmark:
        """Return the latest version, or an empty one if there is none."""
        try:
            found = self._s3.get_object(**self._location(job_name))
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return Bookmark()
            raise
        entry = json.loads(found["Body"].read())
        sources = {ctx: SourceState.from_json(state) for ctx, state in json.loads(entry["JobBookmark"]).items()}
        return Bookmark(entry["Version"], sources, entry["RunId"], found["ETag"])

    def write(self, job_name: str, read: Bookmark, sources: Mapping[str, SourceState], run_id: str | None) -> None:
        """Write the next version, on the condition that the stored version is the one that was read.

        Raises
        ------
        VersionMismatchException
            Another run has written a version since.
        """
        entry = {
            "JobName": job_name,
            "Version": read.version + 1,
            "RunId": run_id,
            "PreviousRunId": read.run_id,
            "JobBookmark": json.dumps({ctx: state.as_json() for ctx, state in sources.items()}),
        }
        condition = {"IfMatch": read.tag} if read.tag else {"IfNoneMatch": "*"}
        try:
            self._s3.put_object(**self._location(job_name), Body=json.dumps(entry).encode(), **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"):
                raise
            found = self.read(job_name).version
            raise VersionMismatchException(
                "Continuation update failed due to version mismatch. "
                f"Expected version {read.version} but found version {found}"
            ) from error

    def _location(self, job_name: str) -> dict[str, str]:
        script = self._glue.get_job(JobName=job_name)["Job"]["Command"]["ScriptLocation"]
        return {"Bucket": script.removeprefix("s3://").split("/")[0], "Key": f"glue-bookmarks/{job_name}.json"}
