"""What one Spark task does with its objects, and the small run with all: read, parse, transform, send, count."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from fanout_job.changes import parse_change
from fanout_job.clients import aws_client, credentials
from fanout_job.errors import (
    BadInputError,
    CorruptObjectError,
    DeadlineError,
    Failure,
    JobError,
    LineTooLongError,
    ObjectChangedError,
    RecordError,
    StorageError,
    unexpected,
)
from fanout_job.formats import MAX_LINE_BYTES, decompressed, split_lines
from fanout_job.messages import Draft, Message, MessageMaker, Transform
from fanout_job.objects import PREFETCH_OBJECTS, S3Object, code_of, opened_ahead, put, s3_client
from fanout_job.sender import Sender
from fanout_job.settings import Settings
from fanout_job.targets import target_of

log = logging.getLogger("fanout_job")

PROGRESS_SECONDS = 5.0

MAX_QUARANTINED_LINES = 100
"""Bad lines copied one by one from an object; beyond this the whole object is copied, once."""


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


class Task:
    """Reads objects, makes messages, sends them, and keeps count.

    A bad object or line never stops the task: the rest of it is read (and, unless messages are to keep their
    order, sent) whatever happens to it, so that both engines send the same messages however the objects are
    spread over tasks.
    """

    def __init__(self, settings: Settings, transform: Transform, deadline: float | None = None) -> None:
        self.settings, self.deadline = settings, deadline
        self.s3 = s3_client()
        self.target = target_of(settings)
        self.maker = MessageMaker(settings, transform, self.target.limit, self.s3)
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
        meta = aws_client(self.target.service, region_name=self.target.region).meta
        endpoint = meta.endpoint_url.rstrip("/") + "/"
        sender = Sender(self.target, endpoint, meta.region_name, credentials(), self.acknowledged, self.deadline)
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
