"""Writes the items of a DynamoDB export to S3 into the change log as insert records: the table before its stream.

It needs a full export in DYNAMODB_JSON. Source: "DynamoDB table export output format", DynamoDB developer guide. The
records depend on the export alone, so that writing them again changes nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contract.times import format_iso, parse_iso
from fanout.manifests import ObjectStore
from fanout.production import KEY_TIME_FORMAT, MAX_RECORD_AGE, packed
from fanout.stream_records import ProviderAttribute, UnassignedError, json_line, unassigned_line

from .errors import UsageError

MAX_HELD_BYTES = 64 * 2**20
"""The most lines kept in memory, for all providers together, before they are written to objects."""


@dataclass(frozen=True)
class Export:
    """An export of a table.

    Attributes
    ----------
    arn, table_arn
        ARNs of the export and of the table.
    time
        The time at which the table had the exported items.
    items
        Number of items.
    files
        s3 URIs of its data files.
    """

    arn: str
    table_arn: str
    time: datetime
    items: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class Written:
    """Numbers of items, of providers, of items without a provider, and of objects: written, and already there."""

    items: int
    providers: int
    unassigned: int
    written: int
    there: int


def read_export(objects: ObjectStore, folder: str) -> Export:
    """Read the manifests of an export.

    Parameters
    ----------
    objects
        Port.
    folder
        s3 URI of its folder, ``s3://bucket/prefix/AWSDynamoDB/ID/``.

    Raises
    ------
    UsageError
        The folder has no complete export, or one of another kind.
    """
    summary = objects.read(folder.rstrip("/") + "/manifest-summary.json")
    if summary is None:
        raise UsageError(f"{folder} has no manifest-summary.json; use the folder of a completed export")
    found = json.loads(summary)
    kind, form = found.get("exportType") or "FULL_EXPORT", found.get("outputFormat")
    if kind != "FULL_EXPORT" or form != "DYNAMODB_JSON":
        raise UsageError(f"{folder} is a {kind} in {form}; use a full export in DYNAMODB_JSON")
    bucket = f"s3://{found['s3Bucket']}/"
    lines = (objects.read(bucket + found["manifestFilesS3Key"]) or b"").splitlines()
    files = tuple(bucket + json.loads(line)["dataFileS3Key"] for line in lines)
    return Export(found["exportArn"], found["tableArn"], parse_iso(found["exportTime"]), int(found["itemCount"]), files)


def insert_record(export: Export, item: Mapping[str, Any], key_names: Sequence[str]) -> dict[str, Any]:
    """A record of the item's insertion at the export's time, in the format of a DynamoDB stream.

    Its id is derived from table, time and keys. It has no sequence number, so that it sorts before all changes of its
    key.
    """
    keys = {name: item[name] for name in key_names}
    identity = json_line({"table": export.table_arn, "time": format_iso(export.time), "keys": keys})
    return {
        "eventID": hashlib.sha256(identity).hexdigest()[:32],
        "eventName": "INSERT",
        "eventSource": "aws:dynamodb",
        "awsRegion": export.table_arn.split(":")[3],
        "eventSourceARN": export.arn,
        "dynamodb": {
            "ApproximateCreationDateTime": int(export.time.timestamp()),
            "Keys": keys,
            "NewImage": dict(item),
            "StreamViewType": "NEW_IMAGE",
        },
    }


def write_snapshot(
    objects: ObjectStore,
    export: Export,
    key_names: Sequence[str],
    attribute: ProviderAttribute,
    change_log_dir: str,
    unassigned_dir: str,
    now: datetime,
) -> Written:
    """Write an export's items into the change logs of their providers. Repeating it writes no object again.

    Raises
    ------
    UsageError
        The export is too old, or its files don't contain the number of items that its manifest states.
    """
    if now - export.time > MAX_RECORD_AGE:
        raise UsageError(
            f"the export of {format_iso(export.time)} is too old: later changes may have left the stream; export again"
        )
    counts: Counter[str] = Counter()
    providers: set[str] = set()
    for part, held in enumerate(_portions(objects, export, key_names, attribute)):
        for provider, lines in held.items():
            folder = f"{change_log_dir.rstrip('/')}/provider={provider}" if provider else unassigned_dir.rstrip("/")
            name = f"{export.time:{KEY_TIME_FORMAT}}snapshot-{export.arn.rpartition('/')[2]}-{part:05d}.json.gz"
            counts["written" if objects.create(f"{folder}/{name}", packed(lines)) else "there"] += 1
            counts["items"] += len(lines)
            counts["unassigned"] += 0 if provider else len(lines)
            providers |= {provider} if provider else set()
    if counts["items"] != export.items:
        raise UsageError(f"{export.arn} should have {export.items} items, but its files have {counts['items']}")
    return Written(counts["items"], len(providers), counts["unassigned"], counts["written"], counts["there"])


def _portions(
    objects: ObjectStore, export: Export, key_names: Sequence[str], attribute: ProviderAttribute
) -> Iterator[dict[str | None, list[bytes]]]:
    """Lines by provider, in portions that fit into memory."""
    held: defaultdict[str | None, list[bytes]] = defaultdict(list)
    size = 0
    for line in _item_lines(objects, export.files):
        record = insert_record(export, json.loads(line)["Item"], key_names)
        try:
            provider, written = attribute.provider_of(record["dynamodb"]), json_line(record)
        except UnassignedError as reason:
            provider, written = None, unassigned_line(record["eventID"], reason, "0", record)
        held[provider].append(written)
        size += len(written)
        if size > MAX_HELD_BYTES:
            yield dict(held)
            held.clear()
            size = 0
    yield dict(held)


def _item_lines(objects: ObjectStore, files: Iterable[str]) -> Iterator[bytes]:
    for file in files:
        body = objects.read(file)
        if body is None:
            raise UsageError(f"{file} not found, although the export's manifest lists it; export again")
        with gzip.open(io.BytesIO(body)) as lines:
            yield from (line for line in lines if line.strip())
