"""The runs of a provider, from their folders on S3. A folder's name starts with the time of the claim."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from contract.times import compact
from contract.uris import parse_run_dir, record_uri, runs_dir, split_uri
from fanout.manifests import ObjectStore
from fanout.runs import RunRecord

CLOCKS = timedelta(minutes=10)
"""How far the clocks of Step Functions and of the claim function may differ."""
_WINDOWS = (timedelta(days=1), timedelta(days=8), timedelta(days=60))
"""Periods in which the newest runs are searched for, one after another: S3 lists in ascending order only."""


@dataclass(frozen=True)
class RunFolder:
    """One run, as the name of its folder describes it."""

    provider: str
    run_id: str
    claimed_at: datetime
    uri: str


def folders(
    s3: Any, bucket: str, provider: str, since: datetime | None = None, until: datetime | None = None
) -> Iterator[RunFolder]:
    """The run folders of a provider claimed since a time and before another one, oldest first.

    Parameters
    ----------
    s3
        boto3 client.
    bucket
        The data bucket.
    """
    prefix = split_uri(runs_dir(bucket, provider))[1]
    start = {"StartAfter": prefix + compact(since)} if since else {}
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/", **start)
    for page in pages:
        for found in page.get("CommonPrefixes", ()):
            if named := parse_run_dir(found["Prefix"].removeprefix(prefix)):
                if until and named[0] >= until:
                    return
                yield RunFolder(provider, named[1], named[0], f"s3://{bucket}/{found['Prefix']}")


def find_folder(s3: Any, bucket: str, provider: str, run_id: str, started: datetime | None) -> RunFolder | None:
    """The folder of one run; None if the run never took the lease.

    Parameters
    ----------
    started
        Start of the run's execution, if known, which shortens the search.
    """
    found = folders(s3, bucket, provider, started - CLOCKS if started else None)
    return next((folder for folder in found if folder.run_id == run_id), None)


def newest(s3: Any, bucket: str, provider: str, limit: int, now: datetime) -> list[RunFolder]:
    """A provider's newest run folders, the newest first."""
    for window in (*_WINDOWS, None):
        found = list(folders(s3, bucket, provider, now - window if window else None))
        if len(found) >= limit:
            break
    return found[::-1][:limit]


def records(objects: ObjectStore, found: list[RunFolder]) -> list[RunRecord | None]:
    """The records of runs, read in parallel; None for a run in progress, and for one without a record."""
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda folder: read_record(objects, folder.uri), found))


def read_record(objects: ObjectStore, run_dir: str) -> RunRecord | None:
    """The record of one run; None if there is none, or it is invalid."""
    body = objects.read(record_uri(run_dir))
    try:
        return None if body is None else RunRecord.model_validate_json(body)
    except ValidationError:
        return None
