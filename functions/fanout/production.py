"""Writes the change log: one object for each provider and batch, written once and never changed.

An object is named by its first record. Lambda starts a redelivered batch, whatever its size, at a record where it
started one before. So if the name of an object exists, the producer reads that object and writes only the records after
it. If a smaller batch ends within an object, the producer writes a signpost for the next batch: an empty object, named
by the first record after the smaller batch, and next to it a hidden object with the URI of the object that has the
records.

So a record is in two objects only if Lambda starts at a record where it never started before (docs/producer.md says
when), and a record is left out only if it was read in an object. If the object with a record's name is damaged or was
written by another writer, the records are written beside it, so that one provider's object never stops the shard. See
docs/decisions.md, D38 and D39.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from contract.document import to_json
from fanout.errors import FanoutError, ForeignObjectError, StorageUnavailableError, UnreadableObjectError
from fanout.manifests import KEY_TIME_SLACK, ObjectStore
from fanout.stream_records import ProviderAttribute, StreamRecord, restored, stream_records

KEY_TIME_FORMAT = "%Y/%m/%d/%H/"
"""Keys after provider=NAME/ begin with this, so that runs list only keys near the bookmark and later."""

MAX_RECORD_AGE = KEY_TIME_SLACK - timedelta(hours=2)
"""A key has the time of its first record, or the current time if the record is older: runs do not list keys older than
the slack. Lambda stops retrying a record two hours before this age (MaximumRecordAgeInSeconds), so the keys of a batch
stay the same at every delivery."""
PARALLEL = 32
MAX_BYTES = 2**26
"""No object of the producer has more text: Lambda delivers batches of 6 MB at most, and escapes make them longer."""
MAX_STORED_BYTES = 2**24
"""The same for the compressed object."""
_SEQUENCE_DIGITS = 40
"""The most digits of a sequence number of DynamoDB. Padded to this length, the numbers sort as text."""


@dataclass(frozen=True)
class _Group:
    """A batch's records of one provider, or those without a provider; `positions` are their positions in the batch."""

    prefix: str
    records: list[StreamRecord] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Production:
    """The outcome of a batch.

    Attributes
    ----------
    failed
        Sequence number of the first record to redeliver; None if the whole batch was written.
    records, objects, unassigned
        Numbers of records, of groups that were written, and of records without a provider.
    foreign
        Number of objects that have a name of the producer, but are damaged or from another writer.
    """

    failed: str | None
    records: int
    objects: int
    unassigned: int
    foreign: int


@dataclass(frozen=True)
class Producer:
    """Turns batches of a table's stream into objects.

    Parameters
    ----------
    objects
        Port.
    change_log_dir, data_dir
        s3 URIs of the change log, and of the bucket for records without a provider and for notes about foreign objects.
    attribute
        The attribute of a record that has its provider's name.
    clock
        Gives the current time, aware.
    log
        Receives a line for each object that could not be written, and for each that is damaged or foreign.
    parallel
        Objects written at once.
    """

    objects: ObjectStore
    change_log_dir: str
    data_dir: str
    attribute: ProviderAttribute
    clock: Callable[[], datetime]
    log: Callable[[str], None]
    parallel: int = PARALLEL

    def produce(self, event: Mapping[str, Any]) -> Production:
        """Write a batch.

        Raises
        ------
        InvalidRequestError
            The event is not a batch of a stream.
        """
        records = list(stream_records(event, self.attribute))
        groups: dict[str | None, _Group] = {}
        for place, record in enumerate(records):
            prefix = f"{self.change_log_dir.rstrip('/')}/provider={record.provider}/"
            if record.provider is None:
                prefix = f"{self.data_dir}/unassigned/"
            group = groups.setdefault(record.provider, _Group(prefix))
            group.records.append(record)
            group.positions.append(place)
        with ThreadPoolExecutor(self.parallel) as pool:
            written = list(pool.map(self._written, groups.values()))
        begin = _beginning(
            [(group, foreign is not None) for group, foreign in zip(groups.values(), written, strict=True)]
        )
        failed = None if begin is None else records[begin].sequence
        unassigned = len(groups[None].records) if None in groups else 0
        done = [foreign for foreign in written if foreign is not None]
        return Production(failed, len(records), len(done), unassigned, sum(done))

    def _written(self, group: _Group) -> int | None:
        """Write a group; return the number of objects in its way, or None if it must be redelivered."""
        try:
            errors = write_once(self.objects, group.prefix, group.records, self.clock())
            for foreign in errors:
                self.log(f"{foreign}. {foreign.advice}")
                with suppress(FanoutError):  # the log and the metric have it
                    self.objects.create(self._note(group, foreign), to_json({"failure": foreign.as_failure()}))
        except FanoutError as error:
            self.log(f"{len(group.records)} records in {group.prefix} will be redelivered: {error}. {error.advice}")
            return None
        return len(errors)

    def _note(self, group: _Group, foreign: FanoutError) -> str:
        """The URI of the note about a foreign object, by which operators see it: `fanout status` lists the folders."""
        above = group.prefix.rstrip("/").rpartition("/")[0]
        return f"{self.data_dir}/quarantine/foreign{(foreign.uri or '').removeprefix(above)}.note.json"


def _beginning(groups: Sequence[tuple[_Group, bool]]) -> int | None:
    """The position from which to redeliver a batch: before every failed group, and not within a written object."""
    begin = min((group.positions[0] for group, written in groups if not written), default=None)
    spans = sorted((group.positions[0], group.positions[-1]) for group, written in groups if written)
    for first, last in reversed(spans):
        if begin is not None and first < begin <= last:
            begin = first
    return begin


def write_once(objects: ObjectStore, prefix: str, records: Sequence[StreamRecord], now: datetime) -> list[FanoutError]:
    """Write the records that are in no object yet: into one object, or several if earlier deliveries left gaps.

    If an object with the name of the first record is damaged or does not contain it, the records are written beside it,
    under a numbered name. A redelivered batch finds the same names.

    Returns
    -------
    An error for each object in the way.

    Raises
    ------
    StorageUnavailableError
        S3 refused a request.
    """
    left, ours = list(records), {record.id for record in records}
    errors: list[FanoutError] = []
    in_the_way = 0
    while left:
        uri = prefix + key_of(left[0], now, in_the_way)
        if objects.create(uri, packed([record.line for record in left])):
            break
        try:
            uri, lying = _lying(objects, prefix, uri, left[0])
        except (ForeignObjectError, UnreadableObjectError) as error:
            error.uri = uri
            errors.append(error)
            in_the_way += 1
            continue
        in_the_way = 0
        ids = [record.id for record in lying]
        left = [record for record in left if record.id not in ids]
        last = max(place for place, id_ in enumerate(ids) if id_ in ours)
        if last + 1 < len(lying):
            name = prefix + key_of(lying[last + 1], now)
            objects.create(_hidden(name), uri.encode())
            objects.create(name, packed([]))
    return errors


def _lying(objects: ObjectStore, prefix: str, uri: str, first: StreamRecord) -> tuple[str, list[StreamRecord]]:
    """Read an object, or the one to which it is a signpost; return its URI and records.

    Raises
    ------
    ForeignObjectError
        The object was not written by this function, or was damaged since: it does not contain the first record.
    UnreadableObjectError
        S3 refuses to return the object.
    """
    body = objects.read(uri, MAX_STORED_BYTES)
    if body is None:
        raise StorageUnavailableError(f"{uri} was deleted while it was read")
    try:
        lines = unpacked(body)
        if not lines:
            uri = (objects.read(_hidden(uri), MAX_STORED_BYTES) or b"").decode()
            if not uri.startswith(prefix):
                raise ForeignObjectError("is empty, and no hidden object names the one with its records")
            lines = unpacked(objects.read(uri, MAX_STORED_BYTES) or b"")
        lying = [restored(line) for line in lines]
    except (ValueError, RecursionError, zlib.error) as error:
        raise ForeignObjectError(f"is damaged or was not written by the producer ({type(error).__name__})") from error
    if first.id not in (record.id for record in lying):
        raise ForeignObjectError("does not contain the record in its name")
    return uri, lying


def _hidden(uri: str) -> str:
    """The URI of the hidden object that belongs to a signpost. No run takes it for data."""
    folder, _, name = uri.rpartition("/")
    return f"{folder}/_{name}.signpost"


def key_of(first: StreamRecord, now: datetime, in_the_way: int = 0) -> str:
    """The key, after the provider's prefix, of the object that begins with a record.

    Parameters
    ----------
    in_the_way
        How many names of this record have an object that is damaged or foreign.
    """
    recent = first.time is not None and abs(now - first.time) <= MAX_RECORD_AGE
    hour = (first.time if recent and first.time else now).astimezone(UTC)
    event = hashlib.sha256(first.id.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    number = f"-{in_the_way}" if in_the_way else ""
    return f"{hour:{KEY_TIME_FORMAT}}{first.sequence.zfill(_SEQUENCE_DIGITS)}-{event}{number}.json.gz"


def packed(lines: Sequence[bytes]) -> bytes:
    """Compress lines with gzip, without the current time: the same bytes for the same lines."""
    return gzip.compress(b"".join(line + b"\n" for line in lines), compresslevel=6, mtime=0)


def unpacked(body: bytes) -> list[bytes]:
    """The lines of a packed object.

    Raises
    ------
    ValueError, zlib.error
        The object is damaged, or no batch is as large as its content.
    """
    reader = zlib.decompressobj(wbits=31)  # gzip
    text = reader.decompress(body, MAX_BYTES)
    if not reader.eof or reader.unused_data:
        raise ValueError("not one gzip member with the records of a batch")
    return text.splitlines()
