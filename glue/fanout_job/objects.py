"""Objects on S3: reads the manifest, distributes its objects over tasks, and reads the objects."""

from __future__ import annotations

import heapq
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as BotoConnectionError
from urllib3.exceptions import HTTPError as Urllib3Error

from contract.document import ContractError
from contract.manifest import Manifest, PlannedObject
from contract.refusals import ARCHIVED, why_refused
from contract.uris import split_uri
from fanout_job.clients import aws_client
from fanout_job.errors import JobError, ManifestError, ObjectChangedError, StorageError, UnreadableObjectError

log = logging.getLogger("fanout_job")

CHUNK_BYTES = 2**19
"""Size of one read from S3."""

PREFETCH_OBJECTS = 8
"""Number of objects to open ahead, so that S3's latency does not add up over objects."""

OBJECT_OVERHEAD_BYTES = 2**16
"""Cost of opening an object, in bytes that could be read instead. Prevents a task with too many small objects."""


def s3_client() -> Any:
    """Return a client with retries and with a connection for each object that is opened ahead."""
    return aws_client(
        "s3",
        config=Config(
            retries={"mode": "standard", "max_attempts": 6},
            connect_timeout=10,
            read_timeout=30,
            max_pool_connections=PREFETCH_OBJECTS + 4,
        ),
    )


def read_manifest(s3: Any, uri: str, provider: str) -> list[PlannedObject]:
    """Return the objects of the manifest, in its order.

    Raises
    ------
    ManifestError, StorageError
        The manifest is invalid, is of another provider, or cannot be read.
    """
    bucket, key = split_uri(uri)
    try:
        raw = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise StorageError(f"the manifest cannot be read ({code_of(error)})", uri=uri) from None
    try:
        manifest = Manifest.from_json(raw)
    except ContractError as error:
        raise ManifestError(f"is not a manifest: {error}", uri=uri) from None
    if manifest.provider != provider:
        raise ManifestError(f"is not a manifest of provider {provider}", cause="is not of this provider", uri=uri)
    return manifest.planned()


def grouped(objects: Sequence[PlannedObject], groups: int) -> list[list[PlannedObject]]:
    """Split objects into at most `groups` groups of nearly equal bytes, each in the manifest's order."""
    heap: list[tuple[int, int, list[PlannedObject]]] = [(0, n, []) for n in range(min(groups, len(objects)))]
    for obj in sorted(objects, key=lambda o: -o.size):
        weight, n, members = heapq.heappop(heap)
        members.append(obj)
        heapq.heappush(heap, (weight + obj.size + OBJECT_OVERHEAD_BYTES, n, members))
    return [sorted(members, key=lambda o: o.index) for _, _, members in sorted(heap, key=lambda g: g[1])]


def code_of(error: BotoCoreError | ClientError) -> str:
    """Return the service's error code, or the name of the client's exception."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__


RESTORE = (
    "Restore the object with `aws s3api restore-object`. The next run reads it. If it was quarantined, send it with "
    "`fanout replay`."
)


def refusal(error: ClientError, uri: str) -> JobError:
    """Return the error for a rejected read. An object that stays unreadable is bad; other causes are transient."""
    code, text = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    why = why_refused(code, error.response.get("ResponseMetadata", {}).get("HTTPStatusCode"), text)
    if why is None:
        return StorageError(f"cannot be read ({code})", uri=uri)
    unreadable = UnreadableObjectError(f"{why} ({code})", uri=uri)
    unreadable.advice = RESTORE if why == ARCHIVED else unreadable.advice
    return unreadable


class ObjectReader:
    """Reads one object from start to end. After a broken connection, resumes at the same byte."""

    # botocore does not translate TLS errors within a body, which are those of urllib3.
    RESUMABLE = (BotoConnectionError, HTTPClientError, IncompleteReadError, Urllib3Error, OSError)
    TRIES = 5

    def __init__(self, s3: Any, obj: PlannedObject) -> None:
        self.s3, self.obj, self.offset = s3, obj, 0
        self.version_id: str | None = None
        """Version of the planned object, if it is no longer the current version."""
        self.body: Any = None

    def read(self) -> bytes:
        """Return the next bytes, empty at the end.

        Raises
        ------
        ObjectChangedError
            The object is not the planned one any more (HTTP 404, 412, 416).
        UnreadableObjectError
            S3 rejects the request because of the object: it is archived, encrypted, or access is denied.
        StorageError
            S3 fails, or the connection breaks repeatedly.
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
                time.sleep(random.random() * 0.2 * 2**attempt)  # noqa: S311 - jitter, not cryptography
            except BotoCoreError as error:
                raise StorageError(f"cannot be read ({code_of(error)})", uri=self.obj.uri) from None
        raise StorageError(f"the connection broke {self.TRIES} times ({reason})", uri=self.obj.uri)

    def _open(self) -> Any:
        try:
            return self._get()
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status == 416 and self.offset == self.obj.size:
                return _NothingLeft()
            if status in (404, 412, 416) and self.finds_planned_version():
                return self._open()
            if status in (404, 412, 416):
                what = "deleted" if status == 404 else "overwritten"
                raise ObjectChangedError(f"was {what} after the run was planned", uri=self.obj.uri) from None
            raise refusal(error, self.obj.uri) from None

    def _get(self) -> Any:
        extra = {"VersionId": self.version_id} if self.version_id else {}
        if self.offset:
            extra["Range"] = f"bytes={self.offset}-"
        return self.s3.get_object(Bucket=self.obj.bucket, Key=self.obj.key, IfMatch=self.obj.etag, **extra)["Body"]

    def finds_planned_version(self) -> bool:
        """Search the object's versions for the planned one. Needed only after a change of the object, because the
        listing of the plan has no versions.
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
            log.warning("%s: cannot list its versions (%s)", self.obj.uri, code_of(error))
        return False


class _NothingLeft:
    """The empty rest of an object whose connection broke after the last byte."""

    def read(self, amount: int) -> bytes:
        return b""


def opened_ahead(
    s3: Any,
    objects: Iterable[PlannedObject],
    pool: ThreadPoolExecutor,
    arrived: Callable[[Future[bytes]], bytes] = Future.result,
) -> Iterator[tuple[ObjectReader, Iterator[bytes]]]:
    """Yield each object's reader with its chunks. Prefetches the first chunks of the next objects, and the next chunk
    of this one.
    """
    waiting: deque[tuple[ObjectReader, Future[bytes]]] = deque()

    def chunks(reader: ObjectReader, upcoming: Future[bytes]) -> Iterator[bytes]:
        while chunk := arrived(upcoming):
            upcoming = pool.submit(reader.read)
            yield chunk

    for obj in objects:
        reader = ObjectReader(s3, obj)
        waiting.append((reader, pool.submit(reader.read)))
        if len(waiting) > PREFETCH_OBJECTS:
            first, upcoming = waiting.popleft()
            yield first, chunks(first, upcoming)
    for first, upcoming in waiting:
        yield first, chunks(first, upcoming)


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
