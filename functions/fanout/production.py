"""Writes the change log: one object for each provider and batch, made once and never changed.

An object is named by the first record in it. Lambda begins a batch that it delivers again, in whatever size, where it
began one before. So a record that begins an object anew finds the name taken, and its producer reads what lies there
and goes on behind it. Where a smaller batch ends within an object, a signpost is left for the next one: an object
without rows, named by the first record that the smaller batch lacks, and hidden beside it where the records lie.

So no record comes to lie in two objects unless Lambda begins where it never began before (docs/producer.md says when),
and no record is left out that was not seen in an object. See docs/decisions.md, D38 and docs/decisions.md, D39.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fanout.errors import FanoutError, ForeignObjectError, StorageUnavailableError
from fanout.manifests import KEY_TIME_SLACK, ObjectStore
from fanout.stream_records import ProviderAttribute, StreamRecord, restored, stream_records

KEY_TIME_FORMAT = "%Y/%m/%d/%H/"
"""Of the keys below provider=NAME/; runs list from near the bookmark on."""

MAX_RECORD_AGE = KEY_TIME_SLACK - timedelta(hours=2)
"""A key tells the time of its first record unless that is older: runs look no further back than the slack. Lambda gives
records up two hours earlier (MaximumRecordAgeInSeconds in the template): a batch keeps its keys to its last delivery.
"""
PARALLEL = 32
_SEQUENCE_DIGITS = 40
"""Sequence numbers of DynamoDB have at most so many digits; padded, they sort as text."""


@dataclass(frozen=True)
class _Group:
    """A batch's records of one provider, or those of nobody; `positions` are their positions in the batch."""

    prefix: str
    records: list[StreamRecord] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Production:
    """What became of a batch.

    Attributes
    ----------
    failed
        Sequence number of the record from which on the batch is to come again; None when all of it is written.
    records, objects, unassigned
        How many there were: records in all, objects that now hold them, records that nobody could be found for.
    """

    failed: str | None
    records: int
    objects: int
    unassigned: int


@dataclass(frozen=True)
class Producer:
    """Turns batches of a table's stream into objects.

    Parameters
    ----------
    objects
        Port.
    change_log_dir, unassigned_dir
        s3 URIs: of the change log, and of records without a provider.
    attribute
        Where a record names its provider.
    clock
        Gives the current time, aware.
    log
        Receives a line for each object that could not be written.
    parallel
        Objects written at once.
    """

    objects: ObjectStore
    change_log_dir: str
    unassigned_dir: str
    attribute: ProviderAttribute
    clock: Callable[[], datetime]
    log: Callable[[str], None]
    parallel: int = PARALLEL

    def produce(self, event: Mapping[str, Any]) -> Production:
        """Write a batch.

        Raises
        ------
        InvalidRequestError
            It is no batch of a stream.
        """
        records = list(stream_records(event, self.attribute))
        groups: dict[str | None, _Group] = {}
        for place, record in enumerate(records):
            prefix = f"{self.change_log_dir.rstrip('/')}/provider={record.provider}/"
            if record.provider is None:
                prefix = self.unassigned_dir.rstrip("/") + "/"
            group = groups.setdefault(record.provider, _Group(prefix))
            group.records.append(record)
            group.positions.append(place)
        with ThreadPoolExecutor(self.parallel) as pool:
            written = list(pool.map(self._written, groups.values()))
        begin = _beginning(list(zip(groups.values(), written, strict=True)))
        failed = None if begin is None else records[begin].sequence
        unassigned = len(groups[None].records) if None in groups else 0
        return Production(failed, len(records), sum(written), unassigned)

    def _written(self, group: _Group) -> bool:
        try:
            write_once(self.objects, group.prefix, group.records, self.clock())
        except FanoutError as error:
            self.log(f"{len(group.records)} records in {group.prefix} will be redelivered: {error}. {error.advice}")
            return False
        return True


def _beginning(groups: Sequence[tuple[_Group, bool]]) -> int | None:
    """Where a batch is to begin when it comes again: before all that failed, and within no object that was written."""
    begin = min((group.positions[0] for group, written in groups if not written), default=None)
    spans = sorted((group.positions[0], group.positions[-1]) for group, written in groups if written)
    for first, last in reversed(spans):
        if begin is not None and first < begin <= last:
            begin = first
    return begin


def write_once(objects: ObjectStore, prefix: str, records: Sequence[StreamRecord], now: datetime) -> None:
    """Write records that are in no object yet into one, or into several where earlier deliveries left gaps.

    Raises
    ------
    StorageUnavailableError
        S3 refuses.
    ForeignObjectError
        An object has the name that these records give, but not the first of them.
    """
    left, ours = list(records), {record.id for record in records}
    while left:
        uri = prefix + key_of(left[0], now)
        if objects.create(uri, packed([record.line for record in left])):
            return
        uri, lying = _lying(objects, uri)
        ids = [record.id for record in lying]
        if left[0].id not in ids:
            raise ForeignObjectError(f"{uri} does not hold the record that its name stands for")
        left = [record for record in left if record.id not in ids]
        last = max(place for place, id_ in enumerate(ids) if id_ in ours)
        if not left and last + 1 < len(lying):
            name = prefix + key_of(lying[last + 1], now)
            objects.create(_hidden(name), uri.encode())
            objects.create(name, packed([]))


def _lying(objects: ObjectStore, uri: str) -> tuple[str, list[StreamRecord]]:
    """The records of an object, or of the one that it is a signpost to, and where they lie."""
    lines = gzip.decompress(_read(objects, uri)).splitlines()
    if not lines:
        uri = _read(objects, _hidden(uri)).decode()
        lines = gzip.decompress(_read(objects, uri)).splitlines()
    return uri, [restored(line) for line in lines]


def _read(objects: ObjectStore, uri: str) -> bytes:
    body = objects.read(uri)
    if body is None:
        raise StorageUnavailableError(f"{uri} was there and is gone")
    return body


def _hidden(uri: str) -> str:
    """Beside an object, where no run takes it for data."""
    folder, _, name = uri.rpartition("/")
    return f"{folder}/_{name}.signpost"


def key_of(first: StreamRecord, now: datetime) -> str:
    """The key of the object that begins with a record, below its provider's prefix."""
    recent = first.time is not None and abs(now - first.time) <= MAX_RECORD_AGE
    hour = (first.time if recent and first.time else now).astimezone(UTC)
    event = hashlib.sha256(first.id.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    return f"{hour:{KEY_TIME_FORMAT}}{first.sequence.zfill(_SEQUENCE_DIGITS)}-{event}.json.gz"


def packed(lines: Sequence[bytes]) -> bytes:
    """Lines as gzip, without the time of packing: the same bytes for the same lines."""
    return gzip.compress(b"".join(line + b"\n" for line in lines), compresslevel=6, mtime=0)
