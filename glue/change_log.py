"""The change-log job: one CloudEvents message per changed DynamoDB row, read from one provider's new objects.

    read ─► parse ─► etl ─► send

AWS Glue runs this one file as a script (`main`), the small-run Lambda imports it as a module (`handler`).
Both send byte-identical messages, because everything between an object and its messages is the same code; the
engines differ only in how they spread objects over processes. Change what is sent in "The user's own ETL",
right below the imports.

Sources: the record shapes and the limits of SQS are those of the AWS documentation, collected in docs/etl.md.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import heapq
import importlib
import json
import logging
import os
import pickle
import random
import re
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ElementTree
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol
from urllib.parse import urlencode

import aiohttp
import boto3
import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from pyarrow import RecordBatch  # type: ignore[import-untyped]
    from pyspark import SparkContext
    from pyspark.rdd import RDD
    from pyspark.sql import DataFrame

log = logging.getLogger("change_log")

# ============================================================================================================
# The user's own ETL: change these two, and nothing else, to change what is sent
# ============================================================================================================


def transform(change: Change) -> Payload | list[Payload] | None:
    """Turn one changed row into what its messages carry as `data`. Both engines call this for every row.

    Parameters
    ----------
    change : Change
        The row: `operation` ("insert", "modify" or "remove"), `keys`, `new` and `old` (plain dicts; an image
        that the stream's view type leaves out is None), `table`, `time`, `sequence`, `expired` (deleted by
        TTL). Numbers are `int` or, where they have a fraction, an exponent or more than 18 digits, `Decimal`;
        binary values are base64 strings; sets are lists.

    Returns
    -------
    payload : dict, list of dict, or None
        None or an empty list sends nothing, a dict sends one message, a list one message an element.

    Example
    -------
    Only price changes, and only the price:

    >>> def transform(change):
    ...     if change.new and change.old and change.new.get("price") != change.old.get("price"):
    ...         return {"keys": change.keys, "price": change.new.get("price")}
    """
    return change.data


# Native PySpark instead: a function `etl(changes: DataFrame) -> DataFrame`, or None. Its rows hold the
# strings `id`, `operation`, `time`, `subject`, `sequence`, `position` and `data` (what `transform` returned,
# as JSON); it returns rows of the same columns. Spark alone can run it, so set the template's FrameEtl to
# "yes" as well: the planner then always picks Glue.
etl: Callable[[DataFrame], DataFrame] | None = None

# ============================================================================================================
# Limits
# ============================================================================================================

MAX_LINE_BYTES = 16 * 2**20
"""Longest line read. An item has at most 400 KB, so a change with both images stays well below this even as
typed JSON.
"""

PIECE_BYTES = 2**20
"""Most that is decompressed at a time: what bounds the memory of a task, however large (or malicious) the object."""

CHUNK_BYTES = 2**19
"""What one read takes from S3."""

PREFETCH_OBJECTS = 8
"""Objects opened ahead, so that S3's latency is not paid once an object."""

TASKS_PER_CORE = 3
"""Enough to even out objects of unequal size; each further task costs 55-95 ms to start."""

OBJECT_OVERHEAD_BYTES = 2**16
"""What opening an object costs, in bytes read instead: many small objects must not end up in one task."""

IN_FLIGHT = 64
"""Requests a task keeps under way."""

MAX_TRIES = 10
"""Tries for a batch, backed off with full jitter up to BACKOFF_CAP_SECONDS: about a minute of trouble on average."""

BACKOFF_CAP_SECONDS = 20.0
REQUEST_TIMEOUT_SECONDS = 20.0
PROGRESS_SECONDS = 5.0

DEADLINE_MARGIN_SECONDS = 5.0
"""What the small run keeps of the Lambda's time to record its result."""

MAX_QUARANTINED_LINES = 100
"""Bad lines copied one by one from an object; beyond this the whole object is copied, once."""

SPOOL_BYTES = 64 * 2**20
"""Messages sorted in memory by the small run under MessageOrder=key; more go to sorted temporary files."""

# ============================================================================================================
# Errors: every one names the object and line concerned, where there is one, and never shows a row's content
# ============================================================================================================


class JobError(Exception):
    """The change-log job failed."""

    transient: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, uri: str | None = None, line: int | None = None) -> None:
        super().__init__(message or type(self).__doc__)
        self.uri = uri
        self.line = line

    def __str__(self) -> str:
        where = [part for part in (self.uri, f"line {self.line}" if self.line else None) if part]
        return ", ".join(where) + ": " + str(self.args[0]) if where else str(self.args[0])

    def as_value(self) -> Failure:
        """Return the error as plain data, which is how a Spark task hands it to the driver."""
        return {"type": type(self).__name__, "message": str(self), "object": self.uri, "line": self.line}


class TransientError(JobError):
    """The next run may well succeed without anybody's doing."""

    transient = True


class SettingsError(JobError):
    """An argument is missing or wrong."""


class ManifestError(JobError):
    """The manifest cannot be read as one."""


class BadInputError(JobError):
    """Input that no repetition will make good; OnBadRecord decides what happens to it."""


class CorruptObjectError(BadInputError):
    """The object's bytes are not what they claim to be."""


class RecordError(BadInputError):
    """The line is not a change record."""


class LineTooLongError(RecordError):
    """The line is longer than MAX_LINE_BYTES."""


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


class SendRefusedError(JobError):
    """The target refused a message or a request, and would again."""


class DeadlineError(TransientError):
    """The small run's Lambda has no time left. Lower SmallRunMaxBytes, so that Glue takes runs of this size."""


class FrameEtlError(JobError):
    """`etl` is native PySpark, which the small run cannot execute. Set the parameter FrameEtl=yes."""


class UnexpectedError(JobError):
    """A defect: an error that this file does not know."""


class RunFailedError(JobError):
    """What the run ends with when one or more of its tasks failed."""


Failure = dict[str, Any]
"""An error as a value: type, message, object and line."""

Payload = dict[str, Any]

# ============================================================================================================
# Settings
# ============================================================================================================


@dataclass(frozen=True)
class Settings:
    """What one run needs to know. Glue gives `--name value` arguments; Lambda environment variables NAME and
    an event.
    """

    provider: str
    run_id: str
    manifest: str
    """S3 URI; "none" where Glue's own bookmark says what is new."""
    run_dir: str
    """S3 URI ending in "/": where the run's result is expected."""
    queue_url: str
    """SQS queue URL, or the ARN of an SNS topic or of an EventBridge event bus."""
    env: str
    data_bucket: str
    change_log_dir: str = ""
    message_order: str = "none"
    on_bad_record: str = "fail"
    bookmark_mode: str = "manifest"
    max_message_bytes: str = ""
    """The queue's MaximumMessageSize where it is below the service's own limit."""
    log_level: str = "INFO"
    JOB_NAME: str = ""

    PER_RUN: ClassVar[tuple[str, ...]] = ("provider", "run_id", "manifest", "run_dir")
    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "message_order": ("none", "key"),
        "on_bad_record": ("fail", "quarantine"),
        "bookmark_mode": ("manifest", "glue"),
        "log_level": ("INFO", "DEBUG", "WARNING", "ERROR"),
    }

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of all arguments."""
        return [f.name for f in fields(cls)]

    @classmethod
    def required(cls) -> list[str]:
        """Return the names of the arguments without which no run starts."""
        return [*cls.PER_RUN, "queue_url", "env", "data_bucket"]

    @classmethod
    def from_values(cls, values: Mapping[str, Any], spelled: Callable[[str], str] = "--{}".format) -> Settings:
        """Build from plain values. `spelled` names an argument the way the caller knows it.

        Raises
        ------
        SettingsError
            Naming every missing argument, or the one with a wrong value and the values it may have.
        """
        given = {name: str(values[name]) for name in cls.names() if values.get(name) not in (None, "")}
        required = cls.required() + (["change_log_dir"] if given.get("bookmark_mode") == "glue" else [])
        missing = [spelled(name) for name in required if name not in given]
        if missing:
            raise SettingsError(f"missing: {', '.join(missing)}")
        for name, choices in cls.CHOICES.items():
            if given.get(name, choices[0]) not in choices:
                raise SettingsError(f"{spelled(name)} is {given[name]!r}; it may be {' or '.join(choices)}")
        if not re.fullmatch(r"\d*", given.get("max_message_bytes", "")):
            raise SettingsError(f"{spelled('max_message_bytes')} is not a number of bytes")
        if not re.fullmatch(r"s3://[^/]+/(.+/)?", given["run_dir"]):
            raise SettingsError(f"{spelled('run_dir')} is not an S3 URI that ends in '/'")
        return cls(**given)

    @classmethod
    def from_arguments(cls, argv: Sequence[str]) -> Settings:
        """Build from Glue's argv, by awsglue's own reader where there is one."""
        present = [n for n in cls.names() if any(a == f"--{n}" or a.startswith(f"--{n}=") for a in argv)]
        try:
            read = importlib.import_module("awsglue.utils").getResolvedOptions
        except ImportError:
            read = plain_arguments
        return cls.from_values(read(list(argv), present))

    @classmethod
    def from_event(cls, event: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
        """Build from the state machine's event, which names the run, and the function's environment, which says how."""
        per_run = {name: event.get(name) for name in cls.PER_RUN}
        standing = {name: environ.get(name.upper()) for name in cls.names() if name not in per_run}
        return cls.from_values(
            {**standing, **per_run}, lambda name: f"event.{name}" if name in per_run else f"${name.upper()}"
        )


def plain_arguments(argv: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Read `--name value` and `--name=value` where awsglue is not there."""
    values: dict[str, str] = {}
    arguments = iter(argv[1:])
    for argument in arguments:
        name, given, value = argument.removeprefix("--").partition("=")
        values[name] = value if given else next(arguments, "")
    return {name: value for name, value in values.items() if name in names}


# ============================================================================================================
# Read: manifest ─► objects ─► bytes ─► lines
# ============================================================================================================


@dataclass(frozen=True)
class S3Object:
    """One object of the manifest. `index` is its place in it, which breaks ties of order."""

    bucket: str
    key: str
    size: int
    etag: str
    index: int
    version_id: str | None = None

    @property
    def uri(self) -> str:
        """How errors and logs name the object."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def fingerprint(self) -> str:
        """The same for the same bytes under the same key, so that a row's id survives a repetition of the run."""
        return hashlib.sha256(f"{self.bucket}/{self.key}#{self.etag}".encode()).hexdigest()[:32]


def s3_client() -> Any:
    """Return a client that retries by itself and has a connection for each object opened ahead."""
    return boto3.client(
        "s3",
        config=Config(
            retries={"mode": "standard", "max_attempts": 6},
            connect_timeout=10,
            read_timeout=30,
            max_pool_connections=PREFETCH_OBJECTS + 4,
        ),
    )


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of `s3://bucket/key`."""
    found = re.fullmatch(r"s3://([^/]+)/(.+)", uri)
    if not found:
        raise SettingsError(f"{uri!r} is not an S3 URI of an object")
    return found[1], found[2]


def read_manifest(s3: Any, uri: str, provider: str) -> list[S3Object]:
    """Return the objects this run is to process, in the manifest's order.

    Raises
    ------
    ManifestError, StorageError
        If it is no manifest of this provider, or cannot be read.
    """
    bucket, key = split_uri(uri)
    try:
        raw = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise StorageError(f"the manifest cannot be read ({code_of(error)})", uri=uri) from None
    try:
        manifest = json.loads(raw)
        if manifest["version"] != 1 or manifest["provider"] != provider:
            raise ManifestError(f"is not a manifest, version 1, of provider {provider}", uri=uri)
        return [
            S3Object(manifest["bucket"], o["key"], int(o["size"]), o["etag"].strip('"'), index, o.get("version_id"))
            for index, o in enumerate(manifest["objects"])
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"is not a manifest ({type(error).__name__})", uri=uri) from None


def grouped(objects: Sequence[S3Object], groups: int) -> list[list[S3Object]]:
    """Split objects into at most `groups` groups of nearly equal bytes, each in the manifest's order."""
    heap: list[tuple[int, int, list[S3Object]]] = [(0, n, []) for n in range(min(groups, len(objects)))]
    for obj in sorted(objects, key=lambda o: -o.size):
        weight, n, members = heapq.heappop(heap)
        members.append(obj)
        heapq.heappush(heap, (weight + obj.size + OBJECT_OVERHEAD_BYTES, n, members))
    return [sorted(members, key=lambda o: o.index) for _, _, members in sorted(heap, key=lambda g: g[1])]


def code_of(error: BotoCoreError | ClientError) -> str:
    """Return the service's error code, or the client's own name for what went wrong."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__


class ObjectReader:
    """Reads one object from start to end; takes up again where a connection broke."""

    RESUMABLE = (BotoConnectionError, HTTPClientError, IncompleteReadError, ResponseStreamingError)
    TRIES = 5

    def __init__(self, s3: Any, obj: S3Object) -> None:
        self.s3, self.obj, self.offset, self.version_id = s3, obj, 0, obj.version_id
        self.body: Any = None

    def read(self) -> bytes:
        """Return the next bytes, empty at the end.

        Raises
        ------
        ObjectChangedError
            If what is there now is not what was planned (HTTP 404, 412, 416).
        StorageError
            If S3 refuses, or keeps breaking off.
        """
        for attempt in range(self.TRIES):
            try:
                body = self.body = self.body or self._open()
                chunk: bytes = body.read(CHUNK_BYTES)
                self.offset += len(chunk)
                return chunk
            except self.RESUMABLE as error:
                self.body = None
                reason = type(error).__name__
                time.sleep(random.random() * 0.2 * 2**attempt)  # noqa: S311 - spreads load, guards nothing
        raise StorageError(f"reading broke off {self.TRIES} times ({reason})", uri=self.obj.uri)

    def _open(self) -> Any:
        try:
            return self._get()
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if self.offset and status == 416 and self.offset == self.obj.size:
                return _NothingLeft()
            if status in (404, 412, 416) and self._finds_planned_version():
                return self._get()
            if status in (404, 412, 416):
                what = "deleted" if status == 404 else "overwritten"
                raise ObjectChangedError(
                    f"was {what} after the run was planned; the next run plans anew", uri=self.obj.uri
                ) from None
            raise StorageError(f"cannot be read ({code_of(error)})", uri=self.obj.uri) from None

    def _get(self) -> Any:
        extra = {"VersionId": self.version_id} if self.version_id else {}
        if self.offset:
            extra["Range"] = f"bytes={self.offset}-"
        return self.s3.get_object(Bucket=self.obj.bucket, Key=self.obj.key, IfMatch=self.obj.etag, **extra)["Body"]

    def _finds_planned_version(self) -> bool:
        """Look for what was planned among the object's versions, if its bucket keeps any. A listing names no
        versions, so this is asked only when the object has changed.
        """
        if self.version_id:
            return False
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.obj.bucket, Prefix=self.obj.key)
        try:
            for version in (version for page in pages for version in page.get("Versions", ())):
                if version["Key"] != self.obj.key:
                    break
                if version["ETag"].strip('"') == self.obj.etag:
                    self.version_id = version["VersionId"]
                    return True
        except ClientError as error:
            log.warning("%s: its versions cannot be listed (%s)", self.obj.uri, code_of(error))
        return False


class _NothingLeft:
    """The body of an object whose connection broke after its last byte."""

    def read(self, amount: int) -> bytes:
        return b""


def opened_ahead(
    s3: Any,
    objects: Iterable[S3Object],
    pool: ThreadPoolExecutor,
    arrived: Callable[[Future[bytes]], bytes] = Future.result,
) -> Iterator[tuple[S3Object, Iterator[bytes]]]:
    """Yield each object with its chunks, while the next objects' first chunks, and this one's next, are on
    their way.
    """
    waiting: deque[tuple[S3Object, ObjectReader, Future[bytes]]] = deque()

    def chunks(reader: ObjectReader, upcoming: Future[bytes]) -> Iterator[bytes]:
        while chunk := arrived(upcoming):
            upcoming = pool.submit(reader.read)
            yield chunk

    for obj in objects:
        reader = ObjectReader(s3, obj)
        waiting.append((obj, reader, pool.submit(reader.read)))
        if len(waiting) > PREFETCH_OBJECTS:
            first, reader, upcoming = waiting.popleft()
            yield first, chunks(reader, upcoming)
    for first, reader, upcoming in waiting:
        yield first, chunks(reader, upcoming)


GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def decompressed(chunks: Iterator[bytes], key: str) -> Iterator[bytes]:
    """Yield an object's plain bytes in pieces of at most PIECE_BYTES, through every gzip member.

    What an object holds is told by its first bytes, because Firehose names gzip objects without `.gz`.

    Raises
    ------
    CorruptObjectError
        On damaged or truncated gzip, anything but zeros after a member, gzip by name only, and zstd.
    """
    head = next(chunks, b"")
    while len(head) < 4 and (more := next(chunks, b"")):
        head += more
    if head.startswith(GZIP_MAGIC):
        yield from gunzipped(head, chunks)
    elif head.startswith(ZSTD_MAGIC):
        raise CorruptObjectError("is zstd, which Glue's Python does not bring; write gzip or plain JSON lines")
    elif head and key.endswith(".gz"):
        raise CorruptObjectError("is named .gz but is not gzip")
    else:
        yield head
        yield from chunks


def gunzipped(data: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress gzip of any number of members. `zlib.decompress(b, 31)` would silently stop after the first."""
    member = zlib.decompressobj(31)
    while data or (data := next(chunks, b"")):
        if member.eof:
            data = data.lstrip(b"\0")
            if not data:
                continue
            while len(data) < 2 and (more := next(chunks, b"")):
                data += more
            if not data.startswith(GZIP_MAGIC):
                raise CorruptObjectError("has bytes after the end of its gzip data")
            member = zlib.decompressobj(31)
        try:
            piece = member.decompress(data, PIECE_BYTES)
        except zlib.error:
            raise CorruptObjectError("is corrupt gzip") from None
        data = member.unused_data if member.eof else member.unconsumed_tail
        if piece:
            yield piece
    if not member.eof:
        # zlib can hold back output when the input ended exactly at PIECE_BYTES.
        while piece := member.decompress(b"", PIECE_BYTES):
            yield piece
        if not member.eof:
            raise CorruptObjectError("is truncated gzip")


def split_lines(pieces: Iterable[bytes], limit: int = MAX_LINE_BYTES) -> Iterator[list[bytes | None]]:
    """Yield lists of lines without their newline; None stands for a line longer than `limit`, which is not kept.

    No piece may be longer than `limit` (PIECE_BYTES never is), so that lines within one need not be measured.
    """
    tail = b""
    too_long = False
    for piece in pieces:
        lines: list[bytes | None] = list(piece.split(b"\n"))
        if too_long:
            if len(lines) == 1:
                continue
            lines[0], too_long = None, False
        elif tail:
            first = tail + (lines[0] or b"")
            lines[0] = first if len(first) <= limit else None
        rest = lines.pop()
        if rest is None or len(rest) > limit:
            tail, too_long = b"", True
        else:
            tail = rest
        if lines:
            yield lines
    if too_long:
        yield [None]
    elif tail:
        yield [tail]


# ============================================================================================================
# Parse: line ─► Change. Pure: no clock, no I/O
# ============================================================================================================


@dataclass(slots=True)
class Change:
    """One changed row, in plain values."""

    id: str
    """The same however often the row is read: the stream's event id, else object and line."""
    operation: str
    """insert, modify or remove."""
    time: str
    """RFC 3339, UTC."""
    micros: int
    """`time` in microseconds since 1970."""
    keys: Payload
    new: Payload | None
    old: Payload | None
    table: str | None
    sequence: str | None
    expired: bool
    """Deleted by TTL, not by somebody."""

    @property
    def data(self) -> Payload:
        """What a message carries unless `transform` says otherwise: table, keys, new, old, each where there is one."""
        data: Payload = {}
        if self.table is not None:
            data["table"] = self.table
        data["keys"] = self.keys
        if self.new is not None:
            data["new"] = self.new
        if self.old is not None:
            data["old"] = self.old
        return data


_OPERATIONS = {"INSERT": "insert", "MODIFY": "modify", "REMOVE": "remove"}
_TICKS = {"SECOND": 1_000_000, "MILLISECOND": 1_000, "MICROSECOND": 1}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_short_integer = re.compile(r"-?[1-9][0-9]{0,17}|0").fullmatch
_any_number = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch


def parse_change(line: bytes | str, fallback_id: str) -> Change:
    """Read one line of any of the three record shapes.

    Streams and Kinesis records have `dynamodb`, incremental exports `Metadata`. Duplicate JSON keys: the last
    one counts, as in most readers (DynamoDB writes none). Invalid UTF-8 and lone surrogates are errors, since
    no message could carry them. Bare JSON numbers occur in timestamps only, where a float is exact to the
    microsecond; everywhere else they are errors.

    Raises
    ------
    RecordError
        Without object and line, which the caller knows; never with the row's content.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        hint = (
            "; Firehose needs AppendDelimiterToRecord"
            if "after document" in error.msg or "trailing" in error.msg
            else ""
        )
        raise RecordError(f"not JSON: {error.msg} at column {error.pos + 1}{hint}") from None
    if type(record) is not dict:
        raise RecordError("is JSON but no change record: not an object")
    try:
        if "dynamodb" in record:
            return _from_stream(record, fallback_id)
        if "Metadata" in record:
            return _from_export(record, fallback_id)
    except RecursionError:
        raise RecordError("is nested too deeply") from None
    if "Item" in record:
        raise RecordError("is of a full export; the job reads incremental exports")
    raise RecordError("is JSON but no change record: neither dynamodb nor Metadata is in it")


def _from_stream(record: Payload, fallback_id: str) -> Change:
    """Read a DynamoDB Streams record, or the same from Kinesis Data Streams for DynamoDB."""
    body = record["dynamodb"]
    operation = _OPERATIONS.get(_text(record, "eventName") or "")
    if type(body) is not dict or operation is None:
        raise RecordError("is no change record: dynamodb or eventName is not as DynamoDB writes them")
    precision = _text(body, "ApproximateCreationDateTimePrecision") or _text(
        record, "ApproximateCreationDateTimePrecision"
    )
    moment = body.get("ApproximateCreationDateTime")
    if precision is None:
        # Streams say seconds, Kinesis milliseconds and, since it has had microseconds too, which of both.
        ticks = 1_000 if "tableName" in record or "recordFormat" in record else 1_000_000
    else:
        ticks = _TICKS.get(precision.upper(), 0)
    if not ticks or (type(moment) is not int and type(moment) is not float):
        raise RecordError("has no ApproximateCreationDateTime that can be read")
    try:
        micros = round(moment * ticks)
    except OverflowError:
        raise RecordError("has an ApproximateCreationDateTime that is no time") from None
    sequence = body.get("SequenceNumber")
    if sequence is not None and not (type(sequence) is str and sequence.isascii() and sequence.isdigit()):
        raise RecordError("has a SequenceNumber that is not a string of digits")
    table = _text(record, "tableName")
    if table is None and (arn := _text(record, "eventSourceARN")):
        parts = arn.split("/", 2)
        table = parts[1] if len(parts) > 1 else None
    identity = record.get("userIdentity")
    return Change(
        _text(record, "eventID") or fallback_id,
        operation,
        _rfc3339(micros),
        micros,
        _image(body, "Keys") or _no_keys(),
        _image(body, "NewImage"),
        _image(body, "OldImage"),
        table,
        sequence,
        identity is not None and _by_ttl(identity),
    )


def _from_export(record: Payload, fallback_id: str) -> Change:
    """Read an incremental-export record: new only = insert, both = update, no new = delete."""
    metadata = record["Metadata"]
    written = metadata.get("WriteTimestampMicros") if type(metadata) is dict else None
    if type(written) is dict:
        written = written.get("N")
    if type(written) is str and written.isascii() and written.isdigit() and len(written) < 19:
        written = int(written)
    if type(written) is not int:
        raise RecordError("has no Metadata.WriteTimestampMicros that can be read")
    new, old = _image(record, "NewImage"), _image(record, "OldImage")
    operation = "remove" if new is None else "insert" if old is None else "modify"
    keys = _image(record, "Keys") or _no_keys()
    return Change(fallback_id, operation, _rfc3339(written), written, keys, new, old, None, None, False)


def _text(record: Payload, name: str) -> str | None:
    value = record.get(name)
    if value is not None and type(value) is not str:
        raise RecordError(f"has a {name} that is not a string")
    return value


def _by_ttl(identity: Any) -> bool:
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
    principal = "principalId" if type(identity) is dict and "principalId" in identity else "PrincipalId"
    return type(identity) is dict and identity.get(principal) == "dynamodb.amazonaws.com"


def _no_keys() -> Payload:
    raise RecordError("has no Keys")


def _rfc3339(micros: int) -> str:
    try:
        return (_EPOCH + timedelta(microseconds=micros)).isoformat()[:-6] + "Z"
    except OverflowError:
        raise RecordError("has a time outside the years 1 to 9999") from None


def _image(body: Payload, name: str) -> Payload | None:
    image = body.get(name)
    return None if image is None else plain_item(image)


def plain_item(image: Any) -> Payload:
    """Turn a DynamoDB-typed map into plain values: exactly, or not at all.

    Raises
    ------
    RecordError
        On a type DynamoDB does not have, or a value that does not fit its type.
    """
    if type(image) is not dict:
        raise RecordError("has a map that is not a JSON object")
    plain: Payload = {}
    for name, typed in image.items():
        if type(typed) is not dict or len(typed) != 1:
            raise RecordError("has a value that is not one DynamoDB type and its value")
        for kind, value in typed.items():
            if kind == "S" and type(value) is str:
                plain[name] = value
            elif kind == "N":
                plain[name] = plain_number(value)
            else:
                plain[name] = _plain_value(kind, value)
    return plain


def _plain_value(kind: str, value: Any) -> Any:
    if kind in ("S", "B") and type(value) is str:
        return value
    if kind == "N":
        return plain_number(value)
    if kind == "BOOL" and type(value) is bool:
        return value
    if kind == "NULL" and value is True:
        return None
    if kind == "M":
        return plain_item(value)
    if type(value) is list:
        if kind == "L":
            return [plain_item({"": element})[""] for element in value]
        if kind == "NS":
            return [plain_number(element) for element in value]
        if kind in ("SS", "BS") and all(type(element) is str for element in value):
            return value
    raise RecordError("has a value of a type unknown to DynamoDB, or one that does not fit its type")


def plain_number(text: Any) -> int | Decimal:
    """Return a DynamoDB number exactly: up to 38 digits never pass through a float."""
    if type(text) is str:
        if _short_integer(text):
            return int(text)
        if _any_number(text):
            number = Decimal(text)
            if number.is_finite():
                return number
    raise RecordError("has a number that is none")


# ============================================================================================================
# Messages: Change ─► CloudEvents 1.0 JSON
# ============================================================================================================


class Message(NamedTuple):
    """One message, ready to send."""

    id: str
    body: str
    size: int
    """Bytes of the body in UTF-8, which is what the targets' limits count."""
    kind: str
    group: str = ""
    """Under MessageOrder=key, the same for all messages of a key and for no other; else empty."""
    position: tuple[int, ...] = ()
    """Under MessageOrder=key, what messages of a group are sent in the order of."""


def encode(value: Any) -> bytes:
    """Write JSON. Decimals become number literals with all their digits.

    Raises
    ------
    TypeError
        On what JSON has no form for, which only the user's transform can bring.
    """
    return orjson.dumps(value, default=_literal)


def _literal(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    if type(value) is int:
        return orjson.Fragment(str(value))
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def sendable(body: bytes) -> bytes:
    """Write U+FFFE and U+FFFF, which SQS refuses in a message, as JSON escapes: the same text to a JSON reader.

    The other characters it refuses, control characters, are always escaped in JSON.
    """
    if b"\xef\xbf" in body:
        return body.replace(b"\xef\xbf\xbe", b"\\ufffe").replace(b"\xef\xbf\xbf", b"\\uffff")
    return body


class Draft(NamedTuple):
    """What becomes one message: the row's part of the envelope, and the payload."""

    id: str
    operation: str
    time: str
    subject: str
    """The row's keys as compact JSON."""
    sequence: str | None
    position: tuple[int, ...]
    """What the messages of one key are ordered by: sequence number, time, place in the manifest."""
    payload: Any


class MessageMaker:
    """Turns a provider's changes into messages, and messages that are too large into claim checks.

    Parameters
    ----------
    settings : Settings
    limit : int
        Bytes a message may have.
    s3 : boto3 S3 client
        For claim checks, written to `claim-check/` in the data bucket.
    """

    def __init__(self, settings: Settings, limit: int, s3: Any) -> None:
        self.settings, self.limit, self.s3 = settings, limit, s3
        self.source = f"/glue-fanout/{settings.env}/{settings.provider}"
        self.ordered = settings.message_order == "key"

    def drafts(self, change: Change, index: int, line: int) -> list[Draft]:
        """Return what the user's transform makes of a row; `index` and `line` are its place in the manifest.

        Raises
        ------
        TransformError
        """
        try:
            payloads = transform(change)
            several = [payloads] if type(payloads) is dict else list(payloads or ())
            if not all(type(payload) is dict for payload in several):
                raise TypeError("transform returns None, a dict or a list of dicts")
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            # Its text may hold the row: only its type and place are told.
            raise TransformError(f"transform raised {type(error).__name__} at {_place(error)}") from None
        id_, operation, moment, sequence = change.id, change.operation, change.time, change.sequence
        subject = encode(change.keys).decode()
        position = (int(sequence or 0), change.micros, index, line)
        if len(several) == 1:
            return [Draft(id_, operation, moment, subject, sequence, position, several[0])]
        return [
            Draft(f"{id_}-{n}", operation, moment, subject, sequence, (*position, n), payload)
            for n, payload in enumerate(several)
        ]

    def message(self, draft: Draft) -> Message:
        """Return the message, by claim check if it would be too large.

        Raises
        ------
        TransformError, MessageTooLargeError, StorageError
        """
        id_, operation, moment, subject, sequence, position, payload = draft
        event: Payload = {
            "specversion": "1.0",
            "id": id_,
            "source": self.source,
            "type": f"dynamodb.{operation}",
            "time": moment,
            "subject": subject,
            "datacontenttype": "application/json",
            "provider": self.settings.provider,
        }
        if sequence is not None:
            event["sequence"] = sequence
        event["data"] = payload
        try:
            body = sendable(encode(event))
        except TypeError:
            raise TransformError("the payload has no JSON form, or is nested too deeply for one") from None
        if len(body) > self.limit:
            del event["data"]
            event["dataref"] = self.claim_check(id_, encode(payload))
            body = sendable(encode(event))
            if len(body) > self.limit:
                raise MessageTooLargeError(f"the message has {len(body)} bytes even without its data")
        if not self.ordered:
            return Message(id_, body.decode(), len(body), event["type"])
        group = hashlib.sha256(subject.encode()).hexdigest()[:32]
        return Message(id_, body.decode(), len(body), event["type"], group, position)

    def claim_check(self, id_: str, data: bytes) -> str:
        """Store the data under a name that a repetition finds again, and return its URI (CloudEvents `dataref`)."""
        name = hashlib.sha256(id_.encode()).hexdigest()
        key = f"claim-check/provider={self.settings.provider}/{name}.json"
        put(self.s3, self.settings.data_bucket, key, data)
        return f"s3://{self.settings.data_bucket}/{key}"


def put(s3: Any, bucket: str, key: str, body: bytes) -> None:
    """Write a JSON object.

    Raises
    ------
    StorageError
    """
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")
    except (BotoCoreError, ClientError) as error:
        raise StorageError(f"cannot be written ({code_of(error)})", uri=f"s3://{bucket}/{key}") from None


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"


# ============================================================================================================
# Send: messages ─► SQS, SNS or EventBridge, in batches, many at a time
# ============================================================================================================


class Verdict(NamedTuple):
    """What a target's answer says about a batch: accepted, to be sent again, or refused for good."""

    accepted: list[Message]
    again: list[Message]
    refused: str | None
    """The error code, if one entry was."""


class Target(Protocol):
    """Where messages go: knows one service's requests and answers, and nothing of retries, signatures or
    connections.
    """

    service: str
    """For the signature and the endpoint."""
    region: str | None
    """None: the region of the job."""
    ordered: bool
    """FIFO."""
    limit: int
    """Bytes of a message, and of a batch."""

    def request(self, batch: Sequence[Message]) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the request that sends a batch."""
        ...

    def verdict(self, answer: bytes, batch: Sequence[Message]) -> Verdict:
        """Read the answer to a request, which came with HTTP 200.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it cannot be read; the batch counts as not sent.
        """
        ...


def judged(batch: Sequence[Message], accepted: Iterable[str], refused: Iterable[str]) -> Verdict:
    """Sort a batch by the entry ids in an answer. Only an entry that is named as accepted was: all else goes again."""
    taken = set(accepted)
    return Verdict(
        [message for n, message in enumerate(batch) if str(n) in taken],
        [message for n, message in enumerate(batch) if str(n) not in taken],
        next(iter(refused), None),
    )


class QueueTarget(Target):
    """An SQS queue, standard or FIFO: SendMessageBatch in the JSON protocol."""

    service = "sqs"

    def __init__(self, url: str) -> None:
        host = re.match(r"https?://sqs\.([a-z0-9-]+)\.amazonaws\.", url)
        self.url, self.region = url, host[1] if host else None
        self.ordered = url.endswith(".fifo")
        self.limit = 2**20

    def request(self, batch: Sequence[Message]) -> tuple[dict[str, str], bytes]:
        """Return headers and body of one request for the batch."""
        entries: list[dict[str, str]] = [{"Id": str(n), "MessageBody": m.body} for n, m in enumerate(batch)]
        if self.ordered:
            for entry, message in zip(entries, batch, strict=True):
                entry["MessageGroupId"] = message.group
                entry["MessageDeduplicationId"] = deduplication_id(message.id)
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.SendMessageBatch"}
        return headers, orjson.dumps({"QueueUrl": self.url, "Entries": entries})

    def verdict(self, answer: bytes, batch: Sequence[Message]) -> Verdict:
        """Read which entries were accepted."""
        said = orjson.loads(answer)
        failed = said.get("Failed") or ()
        return judged(
            batch,
            (entry["Id"] for entry in said.get("Successful") or ()),
            (
                str(entry.get("Code"))
                for entry in failed
                if entry.get("SenderFault") and not is_passing(str(entry.get("Code")))
            ),
        )


class TopicTarget(Target):
    """An SNS topic, standard or FIFO: PublishBatch in the query protocol."""

    service = "sns"

    def __init__(self, arn: str) -> None:
        self.arn, self.region = arn, arn.split(":")[3]
        self.ordered = arn.endswith(".fifo")
        self.limit = 2**18

    def request(self, batch: Sequence[Message]) -> tuple[dict[str, str], bytes]:
        """Return headers and body of one request for the batch."""
        form = {"Action": "PublishBatch", "Version": "2010-03-31", "TopicArn": self.arn}
        for n, message in enumerate(batch):
            entry = f"PublishBatchRequestEntries.member.{n + 1}."
            form[entry + "Id"] = str(n)
            form[entry + "Message"] = message.body
            if self.ordered:
                form[entry + "MessageGroupId"] = message.group
                form[entry + "MessageDeduplicationId"] = deduplication_id(message.id)
        return {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, urlencode(form).encode()

    def verdict(self, answer: bytes, batch: Sequence[Message]) -> Verdict:
        """Read which entries were accepted."""
        try:
            said = ElementTree.fromstring(answer)  # noqa: S314 - AWS's own answer, over its own connection
        except ElementTree.ParseError:
            raise ValueError("the answer is not XML") from None
        entries = [(group.tag, {e.tag: e.text or "" for e in entry}) for group in said.iter() for entry in group]
        entries = [(tag.rpartition("}")[2], {k.rpartition("}")[2]: v for k, v in e.items()}) for tag, e in entries]
        failed = [entry for tag, entry in entries if tag == "Failed" and "Id" in entry]
        return judged(
            batch,
            (entry["Id"] for tag, entry in entries if tag == "Successful" and "Id" in entry),
            (
                entry["Code"]
                for entry in failed
                if entry.get("SenderFault") == "true" and not is_passing(entry.get("Code", ""))
            ),
        )


class EventBusTarget(Target):
    """An EventBridge event bus: PutEvents, with the CloudEvents envelope as the event's detail."""

    service = "events"
    ordered = False

    def __init__(self, arn: str) -> None:
        self.arn, self.region = arn, arn.split(":")[3]
        # Source and detail type count too; both are short.
        self.limit = 2**18 - 2**10

    def request(self, batch: Sequence[Message]) -> tuple[dict[str, str], bytes]:
        """Return headers and body of one request for the batch."""
        entries = [
            {"EventBusName": self.arn, "Source": "glue-fanout", "DetailType": m.kind, "Detail": m.body} for m in batch
        ]
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AWSEvents.PutEvents"}
        return headers, orjson.dumps({"Entries": entries})

    def verdict(self, answer: bytes, batch: Sequence[Message]) -> Verdict:
        """Read which entries were accepted."""
        entries = orjson.loads(answer)["Entries"]
        codes = [str(entry["ErrorCode"]) for entry in entries if "EventId" not in entry]
        return judged(
            batch,
            (str(n) for n, entry in enumerate(entries) if "EventId" in entry),
            (code for code in codes if not is_passing(code)),
        )


def deduplication_id(id_: str) -> str:
    """Return the message's id, or its hash if FIFO does not allow it (128 characters, no space, ASCII)."""
    if re.fullmatch(r"[!-~]{1,128}", id_):
        return id_
    return hashlib.sha256(id_.encode()).hexdigest()


def target_of(settings: Settings) -> Target:
    """Choose the target by the form of `queue_url`.

    Raises
    ------
    SettingsError
        If the form is none of these, or the order asked for and the target do not go together.
    """
    address = settings.queue_url
    target: Target
    if re.match(r"https?://", address):
        target = QueueTarget(address)
    elif re.match(r"arn:aws[a-z-]*:sns:[^:]+:\d+:[^:]+$", address):
        target = TopicTarget(address)
    elif re.match(r"arn:aws[a-z-]*:events:[^:]+:\d+:event-bus/", address):
        target = EventBusTarget(address)
    else:
        raise SettingsError(
            "--queue_url is neither the URL of an SQS queue nor the ARN of an SNS topic or an EventBridge event bus"
        )
    if target.ordered != (settings.message_order == "key"):
        raise SettingsError("--message_order key and a FIFO target (its name ends in .fifo) go together, or not at all")
    if settings.max_message_bytes:
        target.limit = min(target.limit, int(settings.max_message_bytes))
    return target


_passing_code = re.compile(
    "Throttl|TooManyRequests|SlowDown|Unavailable|InternalError|InternalFailure|InternalException|Expired|Timeout|Kms.*Throttl"
).search


def is_passing(code: str) -> bool:
    """Whether an error code means that the same request may succeed later."""
    return bool(_passing_code(code))


def error_code(status: int, answer: bytes) -> str:
    """Return the code in a service's error answer, JSON or XML."""
    found = re.search(rb'"__type"\s*:\s*"(?:[^"#]*#)?([\w.]+)"|<Code>([\w.]+)</Code>', answer)
    return (found[1] or found[2]).decode() if found else f"HTTP {status}"


def batches(messages: Iterable[Message], limit: int) -> Iterator[list[Message]]:
    """Group messages by ten, and within the bytes a request may have."""
    batch: list[Message] = []
    size = 0
    for message in messages:
        if len(batch) == 10 or (batch and size + message.size > limit):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += message.size
    if batch:
        yield batch


class Sender:
    """Sends messages to a target over keep-alive connections, IN_FLIGHT requests at a time.

    Parameters
    ----------
    target : Target
    endpoint : str
        URL of the service.
    region : str
    credentials : botocore credentials
        Asked again for each request, so that they are refreshed in time.
    acknowledged : callable
        Called with each list of messages the target has acknowledged.
    deadline : float or None
        `time.monotonic()` after which nothing more is tried.
    """

    def __init__(
        self,
        target: Target,
        endpoint: str,
        region: str,
        credentials: Credentials,
        acknowledged: Callable[[list[Message]], None],
        deadline: float | None = None,
        backoff: float = 0.1,
    ) -> None:
        self.target, self.endpoint, self.region = target, endpoint, region
        self.credentials, self.acknowledged = credentials, acknowledged
        self.deadline, self.backoff = deadline, backoff

    async def send(self, messages: Iterator[Message]) -> None:
        """Send all messages, in any order.

        Raises
        ------
        SendError, SendRefusedError, DeadlineError
            After which some messages may have been sent, and some not.
        """
        shared = batches(messages, self.target.limit)

        async def worker(session: aiohttp.ClientSession) -> None:
            for batch in shared:
                await self.post(session, batch)

        await self._together(lambda session: [worker(session) for _ in range(IN_FLIGHT)])

    async def send_in_order(self, messages: Iterator[Message]) -> None:
        """Send all messages, those of one group one after the other as they come.

        A group belongs to one lane, a lane has one request under way, and no request holds two messages of a
        group: so a message whose neighbour fails and is tried again cannot overtake it.
        """
        lanes: list[asyncio.Queue[Message | None]] = [asyncio.Queue(100) for _ in range(IN_FLIGHT)]

        async def feed() -> None:
            for message in messages:
                await lanes[int(message.group[:8], 16) % IN_FLIGHT].put(message)
            for lane in lanes:
                await lane.put(None)

        async def drain(session: aiohttp.ClientSession, lane: asyncio.Queue[Message | None]) -> None:
            waiting: deque[Message] = deque()
            open_ = True
            while open_ or waiting:
                while open_ and len(waiting) < 100 and (not waiting or not lane.empty()):
                    message = await lane.get()
                    if message is None:
                        open_ = False
                    else:
                        waiting.append(message)
                if waiting:
                    await self.post(session, one_of_each_group(waiting, self.target.limit))

        await self._together(lambda session: [feed(), *(drain(session, lane) for lane in lanes)])

    async def _together(self, jobs: Callable[[aiohttp.ClientSession], list[Any]]) -> None:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            try:
                async with asyncio.TaskGroup() as tasks:
                    for job in jobs(session):
                        tasks.create_task(job)
            except BaseExceptionGroup as several:
                raise next((e for e in several.exceptions if isinstance(e, JobError)), several.exceptions[0]) from None

    async def post(self, session: aiohttp.ClientSession, batch: list[Message]) -> None:
        """Send one batch until all of it is acknowledged."""
        for attempt in range(MAX_TRIES):
            left = REQUEST_TIMEOUT_SECONDS if self.deadline is None else self.deadline - time.monotonic()
            if left <= 0:
                raise DeadlineError
            headers, body = self.target.request(batch)
            try:
                signed = self.signed(headers, body)
                timeout = aiohttp.ClientTimeout(total=min(REQUEST_TIMEOUT_SECONDS, left))
                async with session.post(self.endpoint, data=body, headers=signed, timeout=timeout) as response:
                    status, answer = response.status, await response.read()
                if status == 200:
                    verdict = self.target.verdict(answer, batch)
                    if verdict.accepted:
                        self.acknowledged(verdict.accepted)
                    if verdict.refused:
                        raise SendRefusedError(f"{self.target.service} refused a message for good: {verdict.refused}")
                    if not verdict.again:
                        return
                    batch, reason = verdict.again, "failed entries"
                else:
                    reason = error_code(status, answer)
                    if status < 500 and status not in (408, 429) and not is_passing(reason):
                        raise SendRefusedError(f"{self.target.service} refused a request: {reason}")
            except (aiohttp.ClientError, BotoCoreError, OSError, ValueError, KeyError, TypeError) as error:
                reason = type(error).__name__
            log.debug("sending %d messages again: %s", len(batch), reason)
            pause = min(BACKOFF_CAP_SECONDS, self.backoff * 2**attempt, left)
            await asyncio.sleep(random.random() * pause)  # noqa: S311 - spreads load, guards nothing
        raise SendError(f"{self.target.service} did not take {len(batch)} messages in {MAX_TRIES} tries: {reason}")

    def signed(self, headers: dict[str, str], body: bytes) -> dict[str, str]:
        """Return the headers with a Signature Version 4 of this moment."""
        request = AWSRequest("POST", self.endpoint, headers, body)
        SigV4Auth(self.credentials.get_frozen_credentials(), self.target.service, self.region).add_auth(request)
        return dict(request.headers)


def one_of_each_group(waiting: deque[Message], limit: int) -> list[Message]:
    """Take a batch off `waiting` that has at most one message of a group: the first one waiting."""
    batch: list[Message] = []
    passed: list[Message] = []
    groups: set[str] = set()
    size = 0
    while waiting and len(batch) < 10:
        message = waiting.popleft()
        if message.group in groups or (batch and size + message.size > limit):
            groups.add(message.group)
            passed.append(message)
        else:
            groups.add(message.group)
            batch.append(message)
            size += message.size
    waiting.extendleft(reversed(passed))
    return batch


# ============================================================================================================
# Task: what one Spark task does with its objects, and the small run with all of them
# ============================================================================================================


@dataclass
class Tally:
    """What was done. Adds up over tasks."""

    objects: int = 0
    bytes: int = 0
    """As stored, compressed."""
    rows: int = 0
    messages: int = 0
    quarantined: int = 0
    """Lines and objects copied to the quarantine."""
    failures: list[Failure] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{name: count + vars(other)[name] for name, count in vars(self).items()})

    def as_value(self) -> dict[str, Any]:
        """Return plain data, which is how a tally travels.

        A dataclass of a script loses its fields on the way to a Spark task, and so does `asdict`.
        """
        return dict(vars(self))


class Task:
    """Reads objects, makes messages, sends them, and keeps count.

    A bad object or line never stops the task: the rest of it is read (and, unless messages are to keep their
    order, sent) whatever happens to it, so that both engines send the same messages however the objects are
    spread over tasks.
    """

    def __init__(self, settings: Settings, deadline: float | None = None) -> None:
        self.settings, self.deadline = settings, deadline
        self.s3 = s3_client()
        self.target = target_of(settings)
        self.maker = MessageMaker(settings, self.target.limit, self.s3)
        self.tally = Tally()
        self.started = self.reported = time.monotonic()

    # ---- read, parse, etl

    def messages(self, objects: Iterable[S3Object]) -> Iterator[Message]:
        """Yield the messages of the objects' rows, in order."""
        return (message for _, message in self.made(objects, self.maker.message))

    def drafts(self, objects: Iterable[S3Object]) -> Iterator[Draft]:
        """Yield what would become messages, for the user's native ETL to change first."""
        return (draft for draft, _ in self.made(objects, lambda draft: None))

    def frame_messages(self, lines: Iterable[str]) -> Iterator[Message]:
        """Yield the messages of records that Glue has read, of which object and line are not known."""
        for line in lines:
            try:
                canonical = orjson.dumps(orjson.loads(line), option=orjson.OPT_SORT_KEYS)
                name = hashlib.sha256(canonical).hexdigest()[:32]
                change = parse_change(line, f"{name}-0")
                made = [self.maker.message(draft) for draft in self.maker.drafts(change, 0, 0)]
            except RecordError as error:
                if self.settings.on_bad_record == "fail":
                    self.tally.failures.append(error.as_value())
                    continue
                key = f"{self._quarantine_prefix()}records/{hashlib.sha256(line.encode()).hexdigest()}.json"
                put(self.s3, self.settings.data_bucket, key, line.encode())
                self._quarantine_note(key, error)
            else:
                self.tally.rows += 1
                yield from made

    def made(self, objects: Iterable[S3Object], make: Callable[[Draft], Any]) -> Iterator[tuple[Draft, Any]]:
        """Yield a draft and what `make` makes of it, row by row, dealing with what is bad."""
        pool = ThreadPoolExecutor(PREFETCH_OBJECTS, thread_name_prefix="s3")
        try:
            for obj, chunks in opened_ahead(self.s3, objects, pool, self.arrived):
                try:
                    yield from self._rows(obj, chunks, make)
                    self.tally.objects += 1
                    self.tally.bytes += obj.size
                except CorruptObjectError as error:
                    self.bad_object(obj, error)
                except ObjectChangedError as error:
                    self.tally.failures.append(error.as_value())
        finally:
            # Not waiting for reads that hang: the small run must still record its result.
            pool.shutdown(wait=False, cancel_futures=True)

    def _rows(
        self, obj: S3Object, chunks: Iterator[bytes], make: Callable[[Draft], Any]
    ) -> Iterator[tuple[Draft, Any]]:
        number, quarantined, id_stem = 0, 0, obj.fingerprint
        try:
            for lines in split_lines(decompressed(chunks, obj.key)):
                self.check_deadline()
                for line in lines:
                    number += 1
                    if line is not None and (not line or line.isspace()):
                        continue
                    try:
                        if line is None:
                            raise LineTooLongError(f"is longer than {MAX_LINE_BYTES} bytes")
                        change = parse_change(line, f"{id_stem}-{number}")
                        made = [(draft, make(draft)) for draft in self.maker.drafts(change, obj.index, number)]
                    except RecordError as error:
                        if self.settings.on_bad_record == "fail":
                            raise
                        quarantined += 1
                        self.quarantine_line(obj, number, line, error, quarantined)
                    else:
                        self.tally.rows += 1
                        yield from made
        except RecordError as error:
            error.uri, error.line = obj.uri, number
            self.tally.failures.append(error.as_value())
        except CorruptObjectError as error:
            error.line = number + 1
            raise

    # ---- bad input

    def bad_object(self, obj: S3Object, error: CorruptObjectError) -> None:
        """Fail, or copy the object to the quarantine. Its rows up to the damage are good, and have been sent."""
        error.uri = obj.uri
        if self.settings.on_bad_record == "fail":
            self.tally.failures.append(error.as_value())
        else:
            self.quarantine_object(obj, error)
            self.tally.objects += 1
            self.tally.bytes += obj.size

    def quarantine_line(self, obj: S3Object, number: int, line: bytes | None, error: RecordError, nth: int) -> None:
        """Copy a bad line; a line too long to hold, or one too many, by copying its object once."""
        error.uri, error.line = obj.uri, number
        if line is None or nth == MAX_QUARANTINED_LINES + 1:
            self.quarantine_object(obj, error)
        elif nth > MAX_QUARANTINED_LINES:
            self.tally.quarantined += 1
        else:
            key = f"{self._quarantine_prefix()}{obj.key}.line-{number}.json"
            put(self.s3, self.settings.data_bucket, key, line)
            self._quarantine_note(key, error)

    def quarantine_object(self, obj: S3Object, error: BadInputError) -> None:
        """Copy a bad object within S3.

        Raises
        ------
        StorageError
        """
        key = self._quarantine_prefix() + obj.key
        source = {"Bucket": obj.bucket, "Key": obj.key}
        if obj.version_id:
            source["VersionId"] = obj.version_id
        try:
            self.s3.copy_object(
                Bucket=self.settings.data_bucket,
                Key=key,
                CopySource=source,
                TaggingDirective="REPLACE",
                CopySourceIfMatch=obj.etag,
            )
        except (BotoCoreError, ClientError) as failed:
            raise StorageError(f"cannot be copied to the quarantine ({code_of(failed)})", uri=obj.uri) from None
        self._quarantine_note(key, error)

    def _quarantine_prefix(self) -> str:
        return f"quarantine/provider={self.settings.provider}/{self.settings.run_id}/"

    def _quarantine_note(self, key: str, error: BadInputError) -> None:
        note = {"run_id": self.settings.run_id, "provider": self.settings.provider, "error": error.as_value()}
        put(self.s3, self.settings.data_bucket, f"{key}.note.json", json.dumps(note, indent=2).encode())
        self.tally.quarantined += 1
        log.warning("quarantined: %s", error)

    # ---- send

    def send(self, messages: Iterator[Message]) -> None:
        """Send messages, each group's in the order they come if the target is FIFO."""
        client: Any = boto3.client(self.target.service, region_name=self.target.region)  # type: ignore[call-overload]
        credentials = boto3.DEFAULT_SESSION.get_credentials() if boto3.DEFAULT_SESSION else None
        if credentials is None:
            raise SettingsError("there are no AWS credentials to sign requests with")
        endpoint = client.meta.endpoint_url.rstrip("/") + "/"
        sender = Sender(self.target, endpoint, client.meta.region_name, credentials, self.acknowledged, self.deadline)
        asyncio.run(sender.send_in_order(messages) if self.target.ordered else sender.send(messages))

    def acknowledged(self, messages: list[Message]) -> None:
        """Count what the target has taken, and say so every few seconds."""
        self.tally.messages += len(messages)
        now = time.monotonic()
        if now - self.reported >= PROGRESS_SECONDS:
            self.reported = now
            self.log_progress("progress")

    def log_progress(self, what: str) -> None:
        """Log counts and rate."""
        tally, seconds = self.tally, max(time.monotonic() - self.started, 1e-9)
        log.info(
            "%s: %d rows, %d messages, %.1f MB read, %.0f messages/s",
            *(what, tally.rows, tally.messages, tally.bytes / 1e6, tally.messages / seconds),
        )

    def arrived(self, chunk: Future[bytes]) -> bytes:
        """Wait for a chunk, but not beyond the deadline.

        Raises
        ------
        DeadlineError
        """
        try:
            return chunk.result(None if self.deadline is None else max(0.0, self.deadline - time.monotonic()))
        except TimeoutError:
            raise DeadlineError from None

    def check_deadline(self) -> None:
        """Stop in time to record the result.

        Raises
        ------
        DeadlineError
        """
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise DeadlineError


def unexpected(error: Exception) -> UnexpectedError:
    """Log where a defect is, and return it as a typed error. Its own text may hold a row, and is not told."""
    log.error("unexpected %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return UnexpectedError(f"{type(error).__name__} at {_place(error)}")


@contextmanager
def guarded(task: Task) -> Iterator[None]:
    """Turn whatever goes wrong in a task into a value of its tally.

    An error that left a Spark task would make Spark repeat the task, and so send its messages again.
    """
    thresholds = gc.get_threshold()
    # Every row makes some dozens of objects, all free of cycles: the default thresholds cost a tenth of the time.
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
        task.log_progress("task done")
    except JobError as error:
        task.tally.failures.append(error.as_value())
    except Exception as error:  # noqa: BLE001 - a defect must not leave the task either
        task.tally.failures.append(unexpected(error).as_value())
    finally:
        gc.set_threshold(*thresholds)


# ============================================================================================================
# Engines
# ============================================================================================================


class Spool:
    """Sorts any number of messages by position in bounded memory, by way of sorted temporary files."""

    def __init__(self, limit: int = SPOOL_BYTES) -> None:
        self.limit, self.size = limit, 0
        self.held: list[Message] = []
        self.files: list[IO[bytes]] = []

    def add(self, message: Message) -> None:
        """Take a message in."""
        self.held.append(message)
        self.size += message.size
        if self.size > self.limit:
            file = tempfile.TemporaryFile()  # noqa: SIM115 - kept until it has been read back
            for held in self._sorted():
                pickle.dump(tuple(held), file, pickle.HIGHEST_PROTOCOL)
            self.files.append(file)
            self.held, self.size = [], 0

    def __iter__(self) -> Iterator[Message]:
        return heapq.merge(*(self._read(file) for file in self.files), self._sorted(), key=lambda m: m.position)

    def _sorted(self) -> list[Message]:
        return sorted(self.held, key=lambda m: m.position)

    @staticmethod
    def _read(file: IO[bytes]) -> Iterator[Message]:
        file.seek(0)
        while True:
            try:
                yield Message(*pickle.load(file))  # noqa: S301 - this process wrote it
            except EOFError:
                return


def run_small(settings: Settings, objects: Sequence[S3Object], deadline: float | None = None) -> Tally:
    """Do all the work in this process.

    Raises
    ------
    FrameEtlError
        If the user's ETL needs Spark.
    """
    if etl is not None:
        raise FrameEtlError
    task = Task(settings, deadline)
    with guarded(task):
        if not task.target.ordered:
            task.send(task.messages(objects))
        else:
            spool = Spool()
            for message in task.messages(objects):
                spool.add(message)
            # A row left out would be overtaken by later changes of its key, so there must be none.
            if not task.tally.failures:
                task.send(iter(spool))
    return task.tally


def run_on_spark(sc: SparkContext, settings: Settings, objects: Sequence[S3Object]) -> Tally:
    """Spread the objects over the cluster, a group of equal bytes a task."""
    groups = grouped(objects, sc.defaultParallelism * TASKS_PER_CORE)
    if not groups:
        return Tally()
    if etl is not None:
        return send_frame(sc, settings, groups, etl)
    return send_rdd(sc.parallelize(groups, len(groups)), settings, lambda task, part: task.messages(chain(*part)))


def send_rdd(sources: RDD[Any], settings: Settings, read: Callable[[Task, Iterable[Any]], Iterator[Message]]) -> Tally:
    """Send the messages that `read` finds in each partition, which is a task of its own."""
    if settings.message_order == "key":
        return send_by_key(sources, settings, read)

    def send_part(part: Iterable[Any]) -> Iterator[dict[str, Any]]:
        start_logging(settings, sys.stderr)
        task = Task(settings)
        with guarded(task):
            task.send(read(task, part))
        yield task.tally.as_value()

    return collected(sources.mapPartitions(send_part))


def send_by_key(
    sources: RDD[Any], settings: Settings, read: Callable[[Task, Iterable[Any]], Iterator[Message]]
) -> Tally:
    """Bring all messages of a key into one task, sorted, and send them from there; nothing, if any row is missing."""
    buckets = sources.getNumPartitions()

    def to_buckets(part: Iterable[Any]) -> Iterator[tuple[tuple[int, tuple[int, ...]], Any]]:
        start_logging(settings, sys.stderr)
        task = Task(settings)
        with guarded(task):
            for message in read(task, part):
                yield (int(message.group[:8], 16) % buckets, message.position), tuple(message)
        for bucket in range(buckets):
            yield (bucket, ()), task.tally.as_value()

    def send_bucket(bucket: int, rows: Iterable[tuple[Any, Any]]) -> Iterator[dict[str, Any]]:
        start_logging(settings, sys.stderr)
        read_so_far, first = Tally(), None
        rows = iter(rows)
        for _, row in rows:  # the tallies have the lowest position, so they come first
            if isinstance(row, tuple):
                first = row
                break
            read_so_far += Tally(**row)
        task = Task(settings)
        with guarded(task):
            if first is not None and not read_so_far.failures:
                task.send(Message(*row) for row in chain([first], (row for _, row in rows)))
        yield (task.tally + (read_so_far if bucket == 0 else Tally())).as_value()

    keyed: RDD[Any] = sources.mapPartitions(to_buckets)
    sorted_buckets = keyed.repartitionAndSortWithinPartitions(buckets, lambda key: int(key[0]))
    return collected(sorted_buckets.mapPartitionsWithIndex(send_bucket))


def collected(tallies: RDD[dict[str, Any]]) -> Tally:
    """Run the Spark job, and add up its tasks' tallies."""
    return sum((Tally(**tally) for tally in tallies.collect()), Tally())


def run_bookmarked(sc: SparkContext, settings: Settings, argv: Sequence[str]) -> Tally:
    """Read what Glue's own job bookmark has not seen: the article's way (docs/glue-bookmarks.md).

    A DynamicFrame keeps neither the lines nor the objects they came from, so errors name neither, ids of
    records that have no event id are hashes of the record, and what tells `{"M": {}}` from null is left to
    Glue's schema inference.
    """
    if etl is not None:
        raise FrameEtlError("`etl` works on what a manifest names. Set BookmarkMode=manifest, or use `transform`.")
    context = importlib.import_module("awsglue.context").GlueContext(sc)
    job = importlib.import_module("awsglue.job").Job(context)
    # Whether bookmarks are on is one of Glue's own arguments. Without them every run would read everything again.
    job.init(settings.JOB_NAME, importlib.import_module("awsglue.utils").getResolvedOptions(list(argv), ["JOB_NAME"]))
    source = f"{settings.change_log_dir.rstrip('/')}/provider={settings.provider}/"
    frame = context.create_dynamic_frame.from_options(
        connection_type="s3",
        connection_options={"paths": [source], "recurse": True},
        format="json",
        transformation_ctx=f"{settings.env}_{settings.provider}",
    )
    if frame.errorsCount():
        raise RecordError(f"Glue could not read {frame.errorsCount()} records", uri=source)
    # toJSON leaves out the nulls by which inference pads a struct; DynamoDB's own null is {"NULL": true}.
    tally = send_rdd(frame.toDF().toJSON(), settings, lambda task, lines: task.frame_messages(lines))
    if not tally.failures:
        job.commit()
    return tally


FRAME_COLUMNS = ("id", "operation", "time", "subject", "sequence", "position", "data")
"""Columns of the DataFrame that goes into and comes out of the user's `etl`, all strings."""


def send_frame(
    sc: SparkContext, settings: Settings, groups: list[list[S3Object]], user_etl: Callable[[DataFrame], DataFrame]
) -> Tally:
    """Read into a DataFrame, let the user's native ETL change it, and send its rows. Nothing is sent if any
    row is missing.
    """
    from pyspark.sql import SparkSession
    from pyspark.storagelevel import StorageLevel

    spark = SparkSession.builder.getOrCreate()
    schema = ", ".join(f"{column} string" for column in (*FRAME_COLUMNS, "tally"))

    def read(numbers: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        start_logging(settings, sys.stderr)
        for number in (n.as_py() for batch in numbers for n in batch.column(0)):
            task = Task(settings)
            with guarded(task):
                rows: list[dict[str, Any]] = []
                for draft in task.drafts(groups[number]):
                    rows.append(as_frame_row(draft))
                    if len(rows) == 2_000:
                        yield record_batch(rows, (*FRAME_COLUMNS, "tally"))
                        rows = []
                yield record_batch(rows, (*FRAME_COLUMNS, "tally"))
            yield record_batch([{"tally": json.dumps(task.tally.as_value())}], (*FRAME_COLUMNS, "tally"))

    def send(rows: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        start_logging(settings, sys.stderr)
        task = Task(settings)
        with guarded(task):
            task.send(task.maker.message(from_frame_row(row)) for batch in rows for row in batch.to_pylist())
        yield record_batch([{"tally": json.dumps(task.tally.as_value())}], ("tally",))

    found = spark.range(0, len(groups), 1, len(groups)).mapInArrow(read, schema).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        tally = added_up(found.where("tally is not null"))
        if tally.failures:
            return tally
        changes = user_etl(found.where("tally is null").drop("tally"))
        if missing := set(FRAME_COLUMNS) - set(changes.columns):
            raise TransformError(f"etl returned a DataFrame without {', '.join(sorted(missing))}")
        changes = changes.select(*(changes[column].cast("string") for column in FRAME_COLUMNS))
        if settings.message_order == "key":
            changes = changes.repartition(len(groups), "subject").sortWithinPartitions("position")
        return tally + added_up(changes.mapInArrow(send, "tally string"))
    finally:
        found.unpersist()


def as_frame_row(draft: Draft) -> dict[str, str | None]:
    """Return a draft as the strings of FRAME_COLUMNS. Positions are padded, so that they sort as strings."""
    position = ".".join(f"{part:040d}" for part in draft.position)
    return {**draft._asdict(), "position": position, "data": encode(draft.payload).decode()}


def from_frame_row(row: Mapping[str, Any]) -> Draft:
    """Read a row back.

    Raises
    ------
    TransformError
        If the user's ETL has broken one of its columns.
    """
    try:
        orjson.loads(row["data"])
        position = tuple(int(part) for part in row["position"].split("."))
        payload = orjson.Fragment(row["data"])
        return Draft(row["id"], row["operation"], row["time"], row["subject"], row["sequence"], position, payload)
    except (ValueError, TypeError, AttributeError):
        raise TransformError("a row of etl's DataFrame has no position, or data that is not JSON") from None


def record_batch(rows: list[dict[str, Any]], columns: Sequence[str]) -> RecordBatch:
    """Return rows of strings as an Arrow batch."""
    import pyarrow

    return pyarrow.RecordBatch.from_pydict(
        {c: pyarrow.array([r.get(c) for r in rows], pyarrow.string()) for c in columns}
    )


def added_up(frame: DataFrame) -> Tally:
    """Add up the tallies in a DataFrame."""
    return sum((Tally(**json.loads(row["tally"])) for row in frame.select("tally").collect()), Tally())


# ============================================================================================================
# The run
# ============================================================================================================


class JsonLines(logging.Formatter):
    """Writes log records as JSON lines that name provider and run."""

    def __init__(self, settings: Settings | None) -> None:
        super().__init__()
        self.run = {"provider": settings.provider, "run_id": settings.run_id} if settings else {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": moment, "level": record.levelname, "message": record.getMessage(), **self.run})


def start_logging(settings: Settings | None, stream: Any = None) -> None:
    """Log JSON lines to `stream` (standard output unless given). Spark's tasks use standard error: they have
    no other.
    """
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonLines(settings))
    log.handlers, log.propagate = [handler], False
    log.setLevel(settings.log_level if settings else "INFO")


def run(settings: Settings, engine: str, work: Callable[[], tuple[Tally, int]]) -> dict[str, Any]:
    """Do the work of a run, record its result beside the manifest, and return the result.

    Parameters
    ----------
    settings : Settings
    engine : str
        "glue" or "small".
    work : callable
        Returns the tally and the number of workers.

    Raises
    ------
    JobError
        If any of it failed, after the result was recorded.
    """
    started = time.monotonic()
    failed: JobError | None = None
    tally, workers = Tally(), 0
    try:
        tally, workers = work()
    except JobError as error:
        failed = error
    except Exception as error:  # noqa: BLE001 - the result is recorded whatever happens, Spark's own errors included
        failed = unexpected(error)
    if failed:
        tally.failures.append(failed.as_value())
    result = result_of(settings, engine, tally, workers, time.monotonic() - started)
    bucket, key = result_location(settings)
    put(s3_client(), bucket, key, json.dumps(result, indent=2).encode())
    log.info("run %s: %s", result["status"], json.dumps({k: v for k, v in result.items() if k != "error"}))
    if tally.failures:
        first = result["error"]
        log.error("%s: %s", first["type"], first["message"])
        raise failed or RunFailedError(f"{first['type']}: {first['message']}") from None
    return result


def result_of(settings: Settings, engine: str, tally: Tally, workers: int, seconds: float) -> dict[str, Any]:
    """Return the result of a run: what the ledger stores and the state machine sees."""
    # The first object's failure, however the tasks finished: the same run fails in the same words on either engine.
    failures = sorted(tally.failures, key=lambda f: (f["object"] is None, f["object"] or "", f["line"] or 0))
    error = dict(failures[0]) if failures else None
    if error and len(failures) > 1:
        error["message"] += f" (and {len(failures) - 1} more)"
    counts = {name: count for name, count in tally.as_value().items() if name != "failures"}
    return {
        "run_id": settings.run_id,
        "provider": settings.provider,
        "engine": engine,
        "status": "failed" if error else "succeeded",
        **counts,
        "seconds": round(seconds, 3),
        "workers": workers,
        "error": error,
    }


def result_location(settings: Settings) -> tuple[str, str]:
    """Return bucket and key of result.json: where the claim said, and the end of the run looks for it."""
    return split_uri(settings.run_dir + "result.json")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run small: the Lambda that the state machine invokes with provider, run_id, manifest and run_dir."""
    started = time.monotonic()
    settings = Settings.from_event(event, os.environ)
    start_logging(settings)
    deadline = started + context.get_remaining_time_in_millis() / 1000 - DEADLINE_MARGIN_SECONDS

    def work() -> tuple[Tally, int]:
        target_of(settings)
        objects = read_manifest(s3_client(), settings.manifest, settings.provider)
        return run_small(settings, objects, deadline), 1

    return run(settings, "small", work)


def main(argv: Sequence[str]) -> None:
    """Run on Glue, or wherever there is PySpark."""
    settings = Settings.from_arguments(argv)
    start_logging(settings)

    def work() -> tuple[Tally, int]:
        from pyspark import SparkContext

        target_of(settings)
        sc = SparkContext.getOrCreate()
        if settings.bookmark_mode == "glue" and settings.manifest == "none":  # a replay has a manifest in either mode
            return run_bookmarked(sc, settings, argv), workers_of(sc)
        objects = read_manifest(s3_client(), settings.manifest, settings.provider)
        return run_on_spark(sc, settings, objects), workers_of(sc)

    run(settings, "glue", work)


def workers_of(sc: SparkContext) -> int:
    """Return how many machines take part. The driver's is one of them, and the only one when Spark runs locally."""
    return int(sc._jsc.sc().getExecutorMemoryStatus().size())


if __name__ == "__main__":
    main(sys.argv)
