"""A task: reads the objects of one Spark task or of a Lambda run, handles bad input, and counts."""

from __future__ import annotations

import gc
import hashlib
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
    UnreadableObjectError,
    unexpected,
)
from fanout_job.formats import MAX_LINE_BYTES, decompressed, split_lines
from fanout_job.objects import PREFETCH_OBJECTS, ObjectReader, code_of, opened_ahead, put, s3_client
from fanout_job.settings import Settings

log = logging.getLogger("fanout_job")

Made = TypeVar("Made")

PROGRESS_SECONDS = 5.0

MAX_QUARANTINED_LINES = 100
"""Maximum bad lines to copy from an object one by one. With more, the whole object is copied once."""

MAX_QUARANTINE_KEY_BYTES = 960
"""A key of S3 has 1,024 bytes at most, and endings with the line's number follow."""
MAX_COPY_BYTES = 5 * 2**30
"""Maximum size of an object to copy: a larger one gets only a note. Source: CopyObject, Amazon S3 API reference."""

REPLACED = frozenset({"PreconditionFailed", "NoSuchKey", "404", "412"})
"""S3's error codes for a copy of an object that has changed since it was read."""


@dataclass
class Tally:
    """Counts and failures of a task. Tallies can be added."""

    objects: int = 0
    bytes: int = 0
    """Bytes as stored, usually compressed."""
    rows: int = 0
    messages: int = 0
    quarantined: int = 0
    """Number of bad lines and objects in the quarantine."""
    failures: list[Failure] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{name: count + vars(other)[name] for name, count in vars(self).items()})

    def to_json(self) -> str:
        """Return JSON, for a column of text."""
        return json.dumps({**vars(self), "failures": plain(self.failures)})

    @classmethod
    def from_json(cls, text: str) -> Tally:
        """Parse JSON."""
        values = json.loads(text)
        return cls(**{**values, "failures": [read(Failure, one) for one in values["failures"]]})


class Task:
    """Reads objects, handles bad input, and counts.

    A bad object or row never stops the task, which reads all other objects. So both engines have the same results, no
    matter how the objects are distributed over tasks.
    """

    def __init__(self, settings: Settings, deadline: float | None = None) -> None:
        self.settings, self.deadline = settings, deadline
        self.s3 = s3_client()
        self.tally = Tally()
        self.started = self.reported = time.monotonic()

    def each(self, objects: Iterable[PlannedObject], work: Callable[[Source], Iterable[Made]]) -> Iterator[Made]:
        """Yield the results of `work` for each object in turn."""
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
                except (CorruptObjectError, UnreadableObjectError) as error:
                    self.bad_object(source, error)
                except ObjectChangedError as error:
                    self.tally.failures.append(error.as_failure())
                except JobError as error:
                    error.uri = error.uri or source.object.uri
                    raise
                except Exception as error:  # noqa: BLE001 - a defect at one object must not hide the other ones
                    defect = unexpected(error, work)
                    defect.uri, defect.line = source.object.uri, source.number or None
                    self.tally.failures.append(defect.as_failure())
        finally:
            # Does not wait for reads that hang, because a Lambda run must still record its result.
            pool.shutdown(wait=False, cancel_futures=True)

    def done(self, obj: PlannedObject) -> None:
        """Count a processed object."""
        self.tally.objects += 1
        self.tally.bytes += obj.size
        self.log_progress()

    # ---- bad input

    def bad_object(self, source: Source, error: CorruptObjectError | UnreadableObjectError) -> None:
        """Fail, or copy the object to the quarantine. The rows before the damage were good and are processed.

        An object that cannot be read cannot be copied either: only its note is written.
        """
        error.uri = source.object.uri
        if isinstance(error, CorruptObjectError) or source.number:
            error.line = error.line or source.number + 1
        if self.settings.on_bad_record == "fail":
            self.tally.failures.append(error.as_failure())
        else:
            if isinstance(error, UnreadableObjectError):
                self.quarantine_note(self.quarantine_key(source.object.key), error)
            else:
                self.quarantine_object(source, error)
            self.done(source.object)

    def quarantine_object(self, source: Source, error: BadInputError) -> None:
        """Copy the version of a bad object that was read to the quarantine, if S3 can copy an object of its size.

        Raises
        ------
        StorageError
        """
        obj, key = source.object, self.quarantine_key(source.object.key)
        while obj.size <= MAX_COPY_BYTES:
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
                # If the object was overwritten or deleted since, a versioned bucket still has the planned version.
                if code_of(failed) not in REPLACED or not source.reader.finds_planned_version():
                    raise StorageError(f"cannot be copied to the quarantine ({code_of(failed)})", uri=obj.uri) from None
        self.quarantine_note(key, error)

    def quarantine_note(self, key: str, error: BadInputError) -> None:
        """Write the reason next to a copy in the quarantine, and count it."""
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
        """Prefix of the run's bad input."""
        return f"quarantine/provider={self.settings.provider}/{self.settings.run_id}/"

    def quarantine_key(self, key: str) -> str:
        """The key for the copy of an object. A long one is cut and ends in a hash, so that endings can be added."""
        whole = f"{self.quarantine_prefix}{key}".encode()
        if len(whole) <= MAX_QUARANTINE_KEY_BYTES:
            return whole.decode()
        name = f"-{hashlib.sha256(whole).hexdigest()[:32]}"
        return whole[: MAX_QUARANTINE_KEY_BYTES - len(name)].decode(errors="ignore") + name

    # ---- time

    def log_progress(self, every: float = PROGRESS_SECONDS, what: str = "progress") -> None:
        """Log counts and rate, at most once in `every` seconds."""
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
        """Stop at the deadline, while there is time to record the result.

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
        Number of the last line, or row, that was read; from 1.
    """

    def __init__(self, task: Task, reader: ObjectReader, chunks: Iterator[bytes]) -> None:
        self.task, self.reader, self.object, self.chunks = task, reader, reader.obj, chunks
        self.number = self.bad = 0

    def pieces(self, opened: Callable[[Iterator[bytes], str], Iterator[bytes]] = decompressed) -> Iterator[bytes]:
        """Yield the object's bytes in pieces of at most PIECE_BYTES, as `opened` decompresses them.

        Raises
        ------
        CorruptObjectError, ObjectChangedError, StorageError, DeadlineError
        """
        for piece in opened(self.chunks, self.object.key):
            self.task.check_deadline()
            yield piece

    def rows(self, parse: Callable[[bytes, int], Made]) -> Iterator[Made]:
        """Yield the result of `parse` for each line and its number. Skips blank lines.

        If `parse` raises RecordError, OnBadRecord decides how the line is handled.
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
        """Fail, or copy a bad row to the quarantine. Copies the whole object if a row is too long, or one too many.

        Raises
        ------
        RecordError
            This error, with OnBadRecord=fail.
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
            key = f"{task.quarantine_key(self.object.key)}.{error.unit}-{error.line}.json"
            put(task.s3, task.settings.data_bucket, key, content)
            task.quarantine_note(key, error)

    def named(self, error: RecordError) -> RecordError:
        """Return the error with its object and line."""
        error.uri, error.line = self.object.uri, error.line or self.number
        return error


@contextmanager
def guarded(task: Task) -> Iterator[None]:
    """Record any error of a task in its tally.

    An error that leaves a Spark task would make Spark repeat the task, and send its messages again.
    """
    thresholds = gc.get_threshold()
    # Each row makes dozens of objects without cycles. The default thresholds would take a tenth of the time.
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
