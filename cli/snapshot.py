"""A table as it was before its stream: the items of a DynamoDB export to S3 as insert records of the change log.

The export is DynamoDB's own, a full one in DYNAMODB_JSON. Source: "DynamoDB table export output format", DynamoDB
developer guide. What is made of it follows from the export alone, so that doing it again writes nothing anew.
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

from cli.errors import UsageError
from fanout.manifests import ObjectStore
from fanout.production import KEY_TIME_FORMAT, MAX_RECORD_AGE, packed
from fanout.stream_records import ProviderAttribute, UnassignedError, json_line, unassigned_line
from fanout.times import format_iso, parse_iso

MAX_HELD_BYTES = 64 * 2**20
"""Lines held in memory, of all providers together; then each provider's go into an object."""


@dataclass(frozen=True)
class Export:
    """An export of a table, as its manifest describes it.

    Attributes
    ----------
    arn, table_arn
        Of the export, and of the table.
    time
        The moment whose state of the table it holds.
    items
        How many items it has.
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
    """What a snapshot wrote, and what lay there from an earlier try: objects; items, and those without a provider."""

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
        There is no complete export, or none of this kind.
    """
    summary = objects.read(folder.rstrip("/") + "/manifest-summary.json")
    if summary is None:
        raise UsageError(f"{folder} has no manifest-summary.json: name the folder of an export that is complete")
    told = json.loads(summary)
    kind, form = told.get("exportType") or "FULL_EXPORT", told.get("outputFormat")
    if kind != "FULL_EXPORT" or form != "DYNAMODB_JSON":
        raise UsageError(f"{folder} is a {kind} in {form}; a full export in DYNAMODB_JSON is needed")
    bucket = f"s3://{told['s3Bucket']}/"
    lines = (objects.read(bucket + told["manifestFilesS3Key"]) or b"").splitlines()
    files = tuple(bucket + json.loads(line)["dataFileS3Key"] for line in lines)
    return Export(told["exportArn"], told["tableArn"], parse_iso(told["exportTime"]), int(told["itemCount"]), files)


def insert_record(export: Export, item: Mapping[str, Any], key_names: Sequence[str]) -> dict[str, Any]:
    """An item as the record of its insertion at the export's time, in the shape of a DynamoDB stream.

    Its id follows from table, time and keys. It has no sequence number, so that it comes before all changes of its key.
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
    """Write an export's items below their providers, each object once however often this is done.

    Raises
    ------
    UsageError
        The export is older than runs look back, or its files do not hold as many items as it says.
    """
    if now - export.time > MAX_RECORD_AGE:
        raise UsageError(
            f"the export is of {format_iso(export.time)}; changes since may be gone from the stream: export anew"
        )
    counts: Counter[str] = Counter()
    providers: set[str] = set()
    for part, held in enumerate(_portions(objects, export, key_names, attribute)):
        for provider, lines in sorted(held.items(), key=lambda one: one[0] or ""):
            folder = f"{change_log_dir.rstrip('/')}/provider={provider}" if provider else unassigned_dir.rstrip("/")
            name = f"{export.time:{KEY_TIME_FORMAT}}snapshot-{export.arn.rpartition('/')[2]}-{part:05d}.json.gz"
            counts["written" if objects.create(f"{folder}/{name}", packed(lines)) else "there"] += 1
            counts["items"] += len(lines)
            counts["unassigned"] += 0 if provider else len(lines)
            providers |= {provider} if provider else set()
    if counts["items"] != export.items:
        raise UsageError(f"{export.arn} should have {export.items} items, but its files hold {counts['items']}")
    return Written(counts["items"], len(providers), counts["unassigned"], counts["written"], counts["there"])


def _portions(
    objects: ObjectStore, export: Export, key_names: Sequence[str], attribute: ProviderAttribute
) -> Iterator[dict[str | None, list[bytes]]]:
    """Lines by provider, as many at a time as may be held."""
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
    if held:
        yield dict(held)


def _item_lines(objects: ObjectStore, files: Iterable[str]) -> Iterator[bytes]:
    for file in files:
        body = objects.read(file)
        if body is None:
            raise UsageError(f"{file} is named in the export's manifest, but is not there")
        with gzip.open(io.BytesIO(body)) as lines:
            yield from (line for line in lines if line.strip())
