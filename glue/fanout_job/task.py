"""What one Spark task does with its objects, and the Lambda run with all: read them, deal with what is bad, count."""

from __future__ import annotations

import gc
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from contract.document import plain, read
from contract.failure import Failure
from contract.manifest import PlannedObject
from fanout_job.errors import (
    BadInputError,
    CorruptObjectError,
    DeadlineError,
    JobError,
    LineTooLongError,
    ObjectChangedError,
    RecordError,
    StorageError,
    unexpected,
)
from fanout_job.formats import MAX_LINE_BYTES, decompressed, split_lines
from fanout_job.objects import PREFETCH_OBJECTS, ObjectReader, code_of, opened_ahead, put, s3_client
from fanout_job.settings import Settings

log = logging.getLogger("fanout_job")

Made = TypeVar("Made")

PROGRESS_SECONDS = 5.0

MAX_QUARANTINED_LINES = 100
"""Bad lines copied one by one from an object; beyond this the whole object is copied, once."""


REPLACED = frozenset({"PreconditionFailed", "NoSuchKey", "404", "412"})
"""S3's answers to a copy whose source is not what was read any more."""


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

    def to_json(self) -> str:
        """Write it, for a column of text."""
        return json.dumps({**vars(self), "failures": plain(self.failures)})

    @classmethod
    def from_json(cls, text: str) -> Tally:
        """Read it."""
        values = json.loads(text)
        return cls(**{**values, "failures": [read(Failure, one) for one in values["failures"]]})


class Task:
    """Reads objects, deals with what is bad, and keeps count.

    A bad object or row never stops the task: the other objects are read whatever happens to it, so that both engines
    come to the same however the objects are spread over tasks.
    """

    def __init__(self, settings: Settings, deadline: float | None = None) -> None:
        self.settings, self.deadline = settings, deadline
        self.s3 = s3_client()
        self.tally = Tally()
        self.started = self.reported = time.monotonic()

    def each(self, objects: Iterable[PlannedObject], work: Callable[[Source], Iterable[Made]]) -> Iterator[Made]:
        """Yield what `work` makes of each object, one after the other."""
        pool = ThreadPoolExecutor(PREFETCH_OBJECTS, thread_name_prefix="s3")
        try:
            for reader, chunks in opened_ahead(self.s3, objects, pool, self.arrived):
                source = Source(self, reader, chunks)
                try:
                    yield from work(source)
                    self.done(source.object)
                except RecordError as error:
                    self.tally.failures.append(source.named(error).as_failure())
                    self.done(source.object)
                except CorruptObjectError as error:
                    self.bad_object(source, error)
                except ObjectChangedError as error:
                    self.tally.failures.append(error.as_failure())
        finally:
            # Not waiting for reads that hang: the Lambda run must still record its result.
            pool.shutdown(wait=False, cancel_futures=True)

    def done(self, obj: PlannedObject) -> None:
        """Count an object."""
        self.tally.objects += 1
        self.tally.bytes += obj.size
        self.log_progress()

    # ---- bad input

    def bad_object(self, source: Source, error: CorruptObjectError) -> None:
        """Fail, or copy the object to the quarantine. Its rows up to the damage are good, and have been taken."""
        error.uri, error.line = source.object.uri, error.line or source.number + 1
        if self.settings.on_bad_record == "fail":
            self.tally.failures.append(error.as_failure())
        else:
            self.quarantine_object(source, error)
            self.done(source.object)

    def quarantine_object(self, source: Source, error: BadInputError) -> None:
        """Copy a bad object within S3, in the version that was read.

        Raises
        ------
        StorageError
        """
        obj, key = source.object, self.quarantine_prefix + source.object.key
        while True:
            version = {"VersionId": source.reader.version_id} if source.reader.version_id else {}
            try:
                self.s3.copy_object(
                    Bucket=self.settings.data_bucket,
                    Key=key,
                    CopySource={"Bucket": obj.bucket, "Key": obj.key, **version},
                    TaggingDirective="REPLACE",
                    CopySourceIfMatch=obj.etag,
                )
                break
            except (BotoCoreError, ClientError) as failed:
                # Overwritten or deleted since it was read, perhaps; a versioned bucket still has it.
                if code_of(failed) not in REPLACED or not source.reader.finds_planned_version():
                    raise StorageError(f"cannot be copied to the quarantine ({code_of(failed)})", uri=obj.uri) from None
        self.quarantine_note(key, error)

    def quarantine_note(self, key: str, error: BadInputError) -> None:
        """Write beside a copy why it is there, and count it."""
        note = {
            "run_id": self.settings.run_id,
            "provider": self.settings.provider,
            "failure": plain(error.as_failure()),
        }
        put(self.s3, self.settings.data_bucket, f"{key}.note.json", json.dumps(note, indent=2).encode())
        self.tally.quarantined += 1
        log.warning("quarantined: %s", error)

    @property
    def quarantine_prefix(self) -> str:
        """Where the run's bad input is copied to."""
        return f"quarantine/provider={self.settings.provider}/{self.settings.run_id}/"

    # ---- time

    def log_progress(self, every: float = PROGRESS_SECONDS, what: str = "progress") -> None:
        """Log counts and rate, unless that was done within the last `every` seconds."""
        now = time.monotonic()
        if now - self.reported >= every:
            self.reported = now
            tally, seconds = self.tally, max(now - self.started, 1e-9)
            log.info(
                "%s: %d rows, %d messages, %.1f MB read, %.0f rows/s",
                *(what, tally.rows, tally.messages, tally.bytes / 1e6, tally.rows / seconds),
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


class Source:
    """One object of the manifest, as a task reads it.

    Attributes
    ----------
    task : Task
    reader : ObjectReader
    object : PlannedObject
    number : int
        Of the last line, or row, that was read; counted from 1.
    """

    def __init__(self, task: Task, reader: ObjectReader, chunks: Iterator[bytes]) -> None:
        self.task, self.reader, self.object, self.chunks = task, reader, reader.obj, chunks
        self.number = self.bad = 0

    def pieces(self) -> Iterator[bytes]:
        """Yield the object's bytes, unpacked if it is gzip, in pieces of at most PIECE_BYTES.

        Raises
        ------
        CorruptObjectError, ObjectChangedError, StorageError, DeadlineError
        """
        for piece in decompressed(self.chunks, self.object.key):
            self.task.check_deadline()
            yield piece

    def rows(self, parse: Callable[[bytes, int], Made]) -> Iterator[Made]:
        """Yield what `parse` makes of each line and its number. Blank lines are passed over.

        A line on which `parse` raises RecordError is dealt with as OnBadRecord says.
        """
        for lines in split_lines(self.pieces()):
            for line in lines:
                self.number += 1
                if line is not None and (not line or line.isspace()):
                    continue
                try:
                    if line is None:
                        raise LineTooLongError(f"is longer than {MAX_LINE_BYTES} bytes")
                    made = parse(line, self.number)
                except RecordError as error:
                    self.bad_row(error, line)
                else:
                    self.task.tally.rows += 1
                    yield made

    def bad_row(self, error: RecordError, content: bytes | None) -> None:
        """Fail, or copy a bad row to the quarantine: its object, once, for a row too long to hold or one too many.

        Raises
        ------
        RecordError
            This one, if bad input is to fail the run.
        """
        task = self.task
        if task.settings.on_bad_record == "fail":
            raise error
        self.bad += 1
        self.named(error)
        if content is None or self.bad == MAX_QUARANTINED_LINES + 1:
            task.quarantine_object(self, error)
        elif self.bad > MAX_QUARANTINED_LINES:
            task.tally.quarantined += 1
        else:
            key = f"{task.quarantine_prefix}{self.object.key}.{error.unit}-{error.line}.json"
            put(task.s3, task.settings.data_bucket, key, content)
            task.quarantine_note(key, error)

    def named(self, error: RecordError) -> RecordError:
        """Give an error its place, unless it has one."""
        error.uri, error.line = self.object.uri, error.line or self.number
        return error


@contextmanager
def guarded(task: Task) -> Iterator[None]:
    """Turn whatever goes wrong in a task into a value of its tally.

    An error that left a Spark task would make Spark repeat the task, and so do its work again.
    """
    thresholds = gc.get_threshold()
    # Every row makes some dozens of objects, all free of cycles: the default thresholds cost a tenth of the time.
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
        task.log_progress(0, "task done")
    except JobError as error:
        task.tally.failures.append(error.as_failure())
    except Exception as error:  # noqa: BLE001 - a defect must not leave the task either
        task.tally.failures.append(unexpected(error).as_failure())
    finally:
        gc.set_threshold(*thresholds)
